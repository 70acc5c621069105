//! Client data as players send it, and as nobody should.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn read(text: &str) -> Cmcd {
    let mut cmcd = Cmcd::default();
    cmcd.read_field(text.as_bytes(), true);
    cmcd
}

fn text(text: &str) -> Option<Value> {
    Some(Value::Text(text.to_owned()))
}

#[test]
fn the_keys_can_be_searched() {
    assert!(KEYS.is_sorted_by(|(first, _), (second, _)| first < second));
}

#[test]
fn every_key_of_version_1() {
    let cmcd = read(
        r#"bl=21300,br=3200,bs,cid="faec5fc2-ac30-11ea-bb37-0242ac130002",d=4004,dl=18500,mtp=48100,nor="..%2F300kbps%2Ftrack.m4v",nrr="12323-48763",ot=v,pr=1.08,rtp=12000,sf=h,sid="6e2fb550-c457-11e9-bb97-0800200c9a66",st=v,su,tb=6000,v=1"#,
    );
    let expect = [
        ("bl", Value::Integer(21300)),
        ("br", Value::Integer(3200)),
        ("bs", Value::Boolean(true)),
        ("cid", Value::Text("faec5fc2-ac30-11ea-bb37-0242ac130002".to_owned())),
        ("d", Value::Integer(4004)),
        ("dl", Value::Integer(18500)),
        ("mtp", Value::Integer(48100)),
        ("nor", Value::Text("..%2F300kbps%2Ftrack.m4v".to_owned())),
        ("nrr", Value::Text("12323-48763".to_owned())),
        ("ot", Value::Text("v".to_owned())),
        ("pr", Value::Decimal(1.08)),
        ("rtp", Value::Integer(12000)),
        ("sf", Value::Text("h".to_owned())),
        ("sid", Value::Text("6e2fb550-c457-11e9-bb97-0800200c9a66".to_owned())),
        ("st", Value::Text("v".to_owned())),
        ("su", Value::Boolean(true)),
        ("tb", Value::Integer(6000)),
        ("v", Value::Integer(1)),
    ];
    assert_eq!(cmcd.values().map(|(key, value)| (key, value.clone())).collect::<Vec<_>>(), expect);
    assert_eq!((cmcd.unknown, cmcd.malformed, cmcd.cut), (0, 0, false));
}

#[test]
fn lists_and_keys_of_version_2() {
    let cmcd =
        read(r#"v=2,br=(5000;v 128;a),bl=(8000),nor=("a/1.m4s" "a/2.m4s";r="0-99"),sta=p,sn=7,ltc=1500,bg=?0,ec=("E1" "E2"),mtp=()"#);
    assert_eq!(cmcd.get("br"), Some(&Value::Integers(vec![(5000, Some("v")), (128, Some("a"))])));
    assert_eq!(cmcd.get("bl"), Some(&Value::Integers(vec![(8000, None)])));
    assert_eq!(cmcd.get("nor"), Some(&Value::Texts(vec!["a/1.m4s".to_owned(), "a/2.m4s".to_owned()])));
    assert_eq!(cmcd.get("ec"), Some(&Value::Texts(vec!["E1".to_owned(), "E2".to_owned()])));
    assert_eq!((cmcd.get("sta").cloned(), cmcd.get("bg")), (text("p"), Some(&Value::Boolean(false))));
    assert_eq!((cmcd.malformed, cmcd.unknown), (0, 0));
}

#[test]
fn single_items() {
    for (item, key, expect) in [
        ("bs", "bs", Some(Value::Boolean(true))),
        ("bs=?1", "bs", Some(Value::Boolean(true))),
        ("bs=?0", "bs", Some(Value::Boolean(false))),
        ("bs=false", "bs", Some(Value::Boolean(false))),
        ("bs=1", "bs", None),
        ("br", "br", None),
        ("br=", "br", None),
        ("br=3200.5", "br", None),
        ("br=\"3200\"", "br", None),
        ("br=-1", "br", Some(Value::Integer(-1))),
        ("br=9999999999999999", "br", None),
        ("br=(1;x)", "br", None),
        ("br=(1", "br", None),
        ("br=(1;v 2;a 3;v 4;a 5;v 6;a 7;v 8;a 9;v 10;a 11;v 12;a 13;v)", "br", None),
        ("pr=2", "pr", Some(Value::Decimal(2.0))),
        ("pr=inf", "pr", None),
        ("pr=NaN", "pr", None),
        ("pr=1e9", "pr", None),
        ("ot=v", "ot", text("v")),
        ("ot=x", "ot", None),
        ("ot=\"v\"", "ot", None),
        ("st=ll", "st", text("ll")),
        ("sid=\"a,b=\\\"c\\\\\"", "sid", text("a,b=\"c\\")),
        ("sid=unquoted", "sid", None),
        ("sid=\"open", "sid", None),
        ("sid=\"a\"b", "sid", None),
        ("sid=\"a\\x\"", "sid", None),
        ("nor=(\"a\";r=\"0-9\" \"b\")", "nor", Some(Value::Texts(vec!["a".to_owned(), "b".to_owned()]))),
        ("nor=(\"a\" b)", "nor", None),
    ] {
        let cmcd = read(item);
        assert_eq!(cmcd.get(key), expect.as_ref(), "{item}");
        assert_eq!(cmcd.malformed, u32::from(expect.is_none()), "{item}");
    }
    let long = "x".repeat(65);
    assert_eq!(read(&format!("sid=\"{long}\"")).malformed, 1);
    assert!(read(&format!("cid=\"{long}\"")).get("cid").is_some());
}

#[test]
fn what_is_not_of_the_standard_is_counted_or_kept_within_bounds() {
    let cmcd = read("zz=1,BR=2,com.example-tier=\"gold\",com.example-n=3,x-y,x-t=word,\u{e9}=1,=5,,a b=1");
    assert_eq!((cmcd.unknown, cmcd.malformed), (2, 3));
    let custom: Vec<_> = cmcd.custom().map(|(key, value)| (key, value.clone())).collect();
    let expect = [
        ("com.example-tier", Value::Text("gold".to_owned())),
        ("com.example-n", Value::Integer(3)),
        ("x-y", Value::Boolean(true)),
        ("x-t", Value::Text("word".to_owned())),
    ];
    assert_eq!(custom, expect);
    let many: Vec<String> = (0..20).map(|index| format!("x-{index}=1")).collect();
    let cmcd = read(&many.join(","));
    assert_eq!((cmcd.custom().count(), cmcd.unknown), (8, 12));
    assert_eq!(read(&format!("x-{}=1", "y".repeat(60))).malformed, 1);
    assert_eq!(read(&format!("x-y=\"{}\"", "z".repeat(65))).malformed, 1);
}

#[test]
fn limits_cut_at_a_key() {
    let cmcd = read(&vec!["zz"; 70].join(","));
    assert_eq!((cmcd.unknown, cmcd.cut), (64, true));
    let long = format!("bs,nor=\"{}\",br=32", "x".repeat(CMCD_BYTES_MAX));
    let cmcd = read(&long);
    assert!(cmcd.cut && cmcd.is("bs") && cmcd.get("br").is_none() && cmcd.malformed == 0);
}

#[test]
fn the_last_of_two_counts_and_fields_add_up() {
    let mut cmcd = read("br=1,br=2");
    for field in [&b"br=3"[..], b"bl=4", b"sid=\"s\"", b"bs"] {
        cmcd.read_field(field, true);
    }
    assert_eq!((cmcd.get("br"), cmcd.get("bl"), cmcd.is("bs")), (Some(&Value::Integer(3)), Some(&Value::Integer(4)), true));
    assert!(Cmcd::default().is_empty() && read("").is_empty() && read(" , ,").is_empty() && !cmcd.is_empty());
}

#[test]
fn queries() {
    for (query, expect) in [
        ("CMCD=br%3D1", Some("br%3D1")),
        ("_HLS_msn=1&CMCD=bs&CMCD=su", Some("bs")),
        ("cmcd=bs", None),
        ("XCMCD=bs", None),
        ("CMCD", None),
        ("", None),
    ] {
        assert_eq!(query_value(query), expect, "{query}");
    }
    let mut cmcd = Cmcd::default();
    cmcd.read_query_value(b"bl%3D29900%2Cbr%3D8934%2Ccid%3D%22a%2Cb%22%2Cot%3Dv%2Csu", true);
    assert_eq!((cmcd.get("br"), cmcd.get("cid").cloned(), cmcd.is("su")), (Some(&Value::Integer(8934)), text("a,b"), true));
    for broken in ["%", "%2", "%zz%ff%00", "br%3D"] {
        Cmcd::default().read_query_value(broken.as_bytes(), true);
    }
    let mut cut = Cmcd::default();
    cut.read_query_value(b"br%3D1%2Cbl%3D12", false);
    assert_eq!((cut.get("br"), cut.get("bl"), cut.cut), (Some(&Value::Integer(1)), None, true));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_limits_hold(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut cmcd = Cmcd::default();
        cmcd.read_field(&bytes, bytes.len() % 2 == 0);
        prop_assert!(cmcd.values().count() <= KEYS.len() && cmcd.custom().count() <= CUSTOM_MAX);
    }

    #[test]
    fn no_text_of_its_letters_panics(text in "[a-z0-9,;=\"\\\\()? .\u{e9}%-]{0,200}", query in "\\PC{0,200}") {
        let mut cmcd = read(&text);
        cmcd.read_query_value(text.as_bytes(), false);
        cmcd.read_query_value(query.as_bytes(), true);
        let _ = query_value(&query);
    }

    #[test]
    fn what_was_sent_is_read(br in 0_i64..1_000_000_000, bl in 0_i64..1_000_000, sid in "[ -~]{0,64}", starved in any::<bool>()) {
        let escaped = sid.replace('\\', "\\\\").replace('"', "\\\"");
        let sent = format!("br={br},sid=\"{escaped}\",bl={bl}{}", if starved { ",bs" } else { "" });
        let mut of_query = Cmcd::default();
        of_query.read_query_value(utf8_percent_encode(&sent, NON_ALPHANUMERIC).to_string().as_bytes(), true);
        prop_assert_eq!(&of_query, &read(&sent));
        prop_assert_eq!(of_query.get("br"), Some(&Value::Integer(br)));
        prop_assert_eq!(of_query.get("sid"), Some(&Value::Text(sid)));
        prop_assert_eq!((of_query.is("bs"), of_query.malformed, of_query.unknown), (starved, 0, 0));
    }
}
