//! What a later program may change about a type whose values were saved.

use std::collections::BTreeMap;

use super::*;

#[derive(Serialize)]
struct Before {
    count: u64,
    name: String,
}

fn before() -> Before {
    Before {
        count: 5,
        name: "ann".to_owned(),
    }
}

#[test]
fn a_field_with_a_default_may_be_new() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct After {
        name: String,
        #[serde(default)]
        seen: Vec<u8>,
        count: u128,
    }
    let expected = After {
        name: "ann".to_owned(),
        seen: Vec::new(),
        count: 5,
    };
    assert_eq!(
        decode_strictly::<After>(&mut &bytes(&before())[..]).unwrap(),
        expected
    );
}

#[test]
fn a_field_may_be_renamed_with_an_alias() {
    #[derive(Deserialize)]
    struct After {
        #[serde(alias = "count")]
        number: u64,
        name: String,
    }
    let after: After = decode_strictly(&mut &bytes(&before())[..]).unwrap();
    assert_eq!((after.number, after.name.as_str()), (5, "ann"));
}

#[test]
fn a_field_that_is_gone_is_found_wherever_it_is() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct After {
        count: u64,
        #[serde(default)]
        names: String,
    }
    #[derive(Serialize)]
    enum Variants<T> {
        Struct { inner: T },
        Newtype(T),
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum VariantsAfter {
        Struct { inner: After },
        Newtype(After),
    }
    fn refused<T: DeserializeOwned + std::fmt::Debug>(before: impl Serialize, at: &str) {
        let encoded = bytes(&before);
        decode::<T>(&mut &encoded[..]).expect("it is only lost");
        let refusal = decode_strictly::<T>(&mut &encoded[..])
            .unwrap_err()
            .to_string();
        let expected = format!(" at {at} ");
        assert!(refusal.contains(&expected), "{refusal}");
        assert!(refusal.contains("knows no such field"), "{refusal}");
    }
    refused::<After>(before(), ".name");
    refused::<Vec<Option<After>>>([None, Some(before())], "[1].name");
    refused::<BTreeMap<u8, After>>(BTreeMap::from([(1, before())]), "{value 0}.name");
    refused::<VariantsAfter>(Variants::Struct { inner: before() }, "::Struct.inner.name");
    refused::<VariantsAfter>(Variants::Newtype(before()), "::Newtype.name");
}
