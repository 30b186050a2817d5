// The set-up that the test files share: one server and one browser, which run from before a file's first test to after its last.
import { after, before } from "node:test";
import { launch } from "./browser.mjs";
import { Server } from "./server.mjs";

/** The file's own server and browser, once its tests run. */
export let server, browser;

/**
 * Starts both for the file that calls this, then runs `prepare` (Node runs several `before` hooks of one file at once).
 * `withServer: false`: the tests start their own servers. `skip`: all tests are skipped.
 */
export function setUp({ withServer = true, skip = false, prepare = async () => undefined } = {}) {
  before(async () => {
    if (skip) return;
    if (withServer) server = await Server.start();
    browser = await launch();
    await prepare();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });
}
