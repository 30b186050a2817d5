//! Reads the tokens of macros and attributes, which syn does not parse.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Returns the paths of more than one segment, and the paths of a `use` in braces one by one.
pub(crate) fn paths(tokens: TokenStream) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    add_paths(&[], tokens, &mut paths);
    paths
}

/// Returns whether the tokens call `method`.
pub(crate) fn call(tokens: TokenStream, method: &str) -> bool {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let inside = |token: &TokenTree| matches!(token, TokenTree::Group(group) if call(group.stream(), method));
    tokens.iter().any(inside)
        || tokens.windows(2).any(|pair| {
            is_mark(&pair[0], '.') && matches!(&pair[1], TokenTree::Ident(name) if name == method)
        })
}

/// Adds the paths of `tokens`. If `before` is not empty, they stand in braces after it.
fn add_paths(before: &[String], tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let last = at.checked_sub(1).map(|last| &tokens[last]);
        match &tokens[at] {
            TokenTree::Group(group) => add_paths(&[], group.stream(), paths),
            // In braces, other names are new ones: `{old as new}`.
            TokenTree::Ident(name) if before.is_empty() || last.is_none_or(|last| is_mark(last, ',')) => {
                let mut path = before.to_vec();
                path.push(name.to_string());
                let mut end = None;
                while is_separator(&tokens[at + 1..]) {
                    end = tokens.get(at + 3);
                    let Some(TokenTree::Ident(name)) = end else { break };
                    path.push(name.to_string());
                    at += 3;
                }
                // What a macro's variable stands for is read where the macro is called.
                let is_variable = last.is_some_and(|last| is_mark(last, '$')) && name != "crate";
                match end {
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                        add_paths(&path, group.stream(), paths);
                        at += 3;
                        path.clear();
                    }
                    Some(star) if is_mark(star, '*') => path.push("*".to_owned()),
                    _ => {}
                }
                if path.len() > 1 && !is_variable {
                    paths.push(path);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), second, ..]
        if first.as_char() == ':' && first.spacing() == Spacing::Joint && is_mark(second, ':'))
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == mark)
}
