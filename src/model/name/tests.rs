//! Names with and without flaws.

use super::*;

#[test]
fn user_names_of_many_languages_have_no_flaw() {
    for name in [
        "walker1",
        "a b-c=1",
        "é|\"123",
        "Łukasz7",
        "Нина01",
        "été123",
        "東京タワー12",
        "田中taro1",
        "김철수12",
        "ツバメ-01",
        "👍walker1",
        "محمد12345",
        "अनिल12",
        "mega~1",
        // Letters of living languages, rare ones too, and the punctuation of names.
        "O’Brien1",
        "Jean-Luc1",
        "Ŵyn ẃ123",
        "Nguyễn12",
        "Đặng123",
        "Bùi1234",
        "Kɔfi Ɛɖɛ1",
        "Ŋgũgĩ01",
        "İpek ığ1",
        "Žižek01",
        "Þórður1",
        "Straße1",
        "Ġużè012",
        "Ιωάννης1",
        "Ґалаґан1",
        "Қайрат01",
        "Ӣброҳим1",
        "Հայկ0123",
        "თამარი01",
        "משֶׁה0123",
        "יוסף־לוי1",
        "فاطمه۱۲1",
        "سُعاد001",
        "ラーメン・1",
        "佐々木01",
        "𠮷野1234",
        "น้ำฝน01",
        "ກຳແພງ1",
        "இனியா01",
        "తేజ0012",
        "ಕಾವ್ಯ01",
        "മോഹൻ01",
        "শ্রেয়া01",
        "ਗੁਰਪ੍ਰੀਤ1",
        "සුනිල්01",
        "မြမြ0001",
        "សុខា0001",
        "བསོད་ནམས1",
        "ሰላም0001",
        "ᏣᎳᎩ0001",
        "ᓄᓇᕗᑦ001",
        "ⵜⵉⴼ0001",
        "ߒߞߏ0001",
        "ᠮᠣᠩ0001",
        "𞤀𞤣𞤤𞤢𞤥1",
        "ꆈꌠ0001",
        "O‘zbek01",
        "walker–1",
        "❤walker1",
        // Compatibility forms: names are compared by the characters that they stand for.
        "ｔａｒｏ１2",
        "ﾀﾛｳ12345",
    ] {
        assert_eq!(user_name_flaw(&composed(name)), None, "{name}");
    }
}

#[test]
fn a_character_that_may_be_mistaken_for_a_common_one_is_a_flaw() {
    for (name, flaw) in [
        ("walĸer1", "character that is out of use: leave out U+0138"),
        ("walkeꞃ1", "character that is out of use: leave out U+A783"),
        ("walkɐr1", "phonetic or technical sign: leave out U+0250"),
        ("ᴀdministrator1", "phonetic or technical sign: leave out U+1D00"),
        ("wɑlker1", "phonetic or technical sign: leave out U+0251"),
        ("w\u{338}alker1", "phonetic or technical sign: leave out U+0338"),
        ("محـمد12345", "character that is out of use: leave out U+0640"),
        ("walkerƽƿ1", "character that is out of use: leave out U+01BF"),
        ("★walker1", "symbol but emoji and those of ASCII: leave out U+2605"),
        ("wa∣ker1", "symbol but emoji and those of ASCII: leave out U+2223"),
        ("🅰walker1", "symbol but emoji and those of ASCII: leave out U+1F170"),
        ("🇼alker1", "symbol but emoji and those of ASCII: leave out U+1F1FC"),
        ("½walker1", "symbol but emoji and those of ASCII: leave out U+00BD"),
        ("walker´1", "accent without a letter: leave out U+00B4"),
        ("walker\u{13441}1", "space other than U+0020: leave out U+13441"),
    ] {
        let found = user_name_flaw(&composed(name)).map(|flaw| flaw.to_string());
        assert_eq!(found, Some(format!("holds no {flaw}")), "{name}");
    }
}

#[test]
fn a_flaw_names_its_character() {
    for c in [
        '\n',
        '\u{1b}',
        '\u{9b}',
        '\u{ad}',
        '\u{200b}',
        '\u{200e}',
        '\u{202e}',
        '\u{2063}',
        '\u{2066}',
        '\u{2028}',
        '\u{2029}',
        '\u{a0}',
        '\u{2003}',
        '\u{3000}',
        '\u{2800}',
        '\u{3164}',
        '\u{115f}',
        '\u{34f}',
        '\u{fe0f}',
        '\u{e000}',
        '\u{10ffff}',
        '\u{378}',
        '\u{e0041}',
        '\u{feff}',
        '\u{61c}',
        '\u{200d}',
    ] {
        let flaw = user_name_flaw(&format!("walk{c}er1"));
        assert!(matches!(flaw, Some(NameFlaw::Character(found, _)) if found == c), "{c:?} {flaw:?}");
        assert!(flaw.unwrap().to_string().contains(&format!("U+{:04X}", u32::from(c))));
    }
    for name in [" walker1", "walker1 ", "walk  er1", "      1"] {
        assert_eq!(user_name_flaw(name), Some(NameFlaw::Blank), "{name:?}");
    }
    for (name, c) in [("w\u{430}lker1", '\u{430}'), ("Нинa01", 'a'), ("wαlker1", 'α'), ("김さ12345", 'さ')]
    {
        assert_eq!(user_name_flaw(name), Some(NameFlaw::Script(c)), "{name}");
    }
}

#[test]
fn room_names_may_have_every_script_and_emoji_but_must_be_visible() {
    for name in [
        "",
        " a  room ",
        "👩‍👩‍👧 at home",
        "❤️",
        "1️⃣ first",
        "می‌خواهم",
        "خانه‌",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "क्‍ष",
        "mixed смесь",
        "\u{600}12",
        "\u{600}",
        ".",
        "Tom's & Ann's – 1★",
        "ㄱ\u{3164}ㄴ",
        "\u{301}",
    ] {
        assert_eq!(room_name_flaw(name), None, "{name:?}");
    }
    for (name, first) in [
        ("   ", ' '),
        ("\u{3164}", '\u{3164}'),
        ("\u{2800}\u{2800}", '\u{2800}'),
        ("\u{34f}", '\u{34f}'),
        (" \u{a0}\u{3000}", ' '),
        ("\u{115f}\u{1160}", '\u{115f}'),
        ("\u{ffa0}", '\u{ffa0}'),
        ("\u{fe0f}", '\u{fe0f}'),
        ("\u{180b}", '\u{180b}'),
        ("\u{17b4} \u{2003}", '\u{17b4}'),
        ("\u{e0100}", '\u{e0100}'),
        ("\u{1d159}", '\u{1d159}'),
        ("\u{e000}", '\u{e000}'),
    ] {
        let flaw = room_name_flaw(name);
        assert_eq!(flaw, Some(NameFlaw::Unseen(first)), "{name:?}");
        assert!(flaw.unwrap().to_string().contains(&format!("U+{:04X}", u32::from(first))));
    }
    for (name, c) in [
        ("a\nb", '\n'),
        ("a\u{1b}[31m", '\u{1b}'),
        ("a\u{202e}b", '\u{202e}'),
        ("a\u{200b}b", '\u{200b}'),
        ("a\u{200d}b", '\u{200d}'),
        ("\u{200d}", '\u{200d}'),
        ("a\u{e0041}", '\u{e0041}'),
        ("a\u{2028}", '\u{2028}'),
        ("a\u{ad}b", '\u{ad}'),
        ("\u{feff}a", '\u{feff}'),
    ] {
        let flaw = room_name_flaw(name);
        assert!(matches!(flaw, Some(NameFlaw::Character(found, _)) if found == c), "{name:?} {flaw:?}");
    }
}
