use std::error::Error;
use std::io::Write;

use super::endpoint::Endpoints;
use super::*;

#[test]
fn addresses_of_emulators_are_taken_from_the_environment() -> Result<(), Box<dyn Error>> {
    let endpoints = Endpoints::from_env(|name| match name {
        "PUBSUB_EMULATOR_HOST" => Some("localhost:8085".to_owned()),
        "STORAGE_EMULATOR_HOST" => Some("http://127.0.0.1:4443/".to_owned()),
        "BIGQUERY_EMULATOR_HOST" => Some(" ".to_owned()),
        _ => None,
    })?;
    let url = |service| endpoints.get(service).map(Endpoint::url);
    assert_eq!(url(Service::PubSub), Some("http://localhost:8085"));
    assert_eq!(url(Service::Storage), Some("http://127.0.0.1:4443"));
    assert_eq!(url(Service::BigQuery), None);
    Ok(())
}

#[test]
fn what_is_no_address_is_refused_by_the_name_of_its_variable() {
    for address in [
        "ftp://x:1",
        "http://",
        "http://a/b",
        "http://u:secret@h:1",
        "host:port",
    ] {
        let refused = Endpoints::from_env(|name| {
            (name == "PUBSUB_EMULATOR_HOST").then(|| address.to_owned())
        });
        let error = refused.map(|_| ()).expect_err(address).to_string();
        assert!(error.starts_with("PUBSUB_EMULATOR_HOST is"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn nothing_of_a_key_file_is_ever_shown() -> Result<(), Box<dyn Error>> {
    const SECRET: &str = "MIIsecretsecret";
    let texts = [
        format!(r#"{{"type": "service_account", "private_key": "{SECRET}"#),
        format!(r#"{{"type": "{SECRET}", "private_key": "{SECRET}"}}"#),
        format!(
            r#"{{"type": "service_account", "client_email": "a@b", "private_key_id": "{SECRET}", "private_key": "{SECRET}"}}"#
        ),
    ];
    for text in texts {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        let shown = match Cloud::from_env()?.service_account_file(file.path()) {
            Ok(cloud) => format!("{cloud:?} {:?}", cloud.credentials(Service::PubSub)),
            Err(error) => {
                let text = format!("{error} {error:?}");
                assert!(text.contains(&*file.path().to_string_lossy()), "{text}");
                text
            }
        };
        assert!(!shown.contains(SECRET), "{shown}");
    }
    Ok(())
}

#[test]
fn a_client_is_made_anew_in_another_runtime() -> Result<(), Box<dyn Error>> {
    let clients = PerRuntime::new();
    let mut made = 0;
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for _ in 0..3 {
            runtime.block_on(clients.get(async || {
                made += 1;
                Ok::<_, CloudError>(())
            }))?;
        }
    }
    assert_eq!(made, 2);
    Ok(())
}

#[test]
fn runtimes_at_once_keep_their_clients_until_they_end() -> Result<(), Box<dyn Error>> {
    let clients = PerRuntime::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let (first, second) = (runtime()?, runtime()?);
    let get = async |number: u32| clients.get(async || Ok::<_, CloudError>(number)).await;
    for _ in 0..2 {
        assert_eq!(*first.block_on(get(1))?, 1);
        assert_eq!(*second.block_on(get(2))?, 2);
    }
    assert!(clients.here().is_none());
    assert_eq!(clients.all().len(), 2);
    drop(first);
    assert_eq!(clients.all().iter().map(|n| **n).collect::<Vec<u32>>(), [2]);
    drop(second);
    assert!(clients.all().is_empty());
    Ok(())
}
