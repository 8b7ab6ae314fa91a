//! Origins, request targets, proxies, download URLs, and addresses of key services.
#![no_main]

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use wxpay_auth::kms::Endpoint;
use wxpay_fuzz::{assert_good_error, assert_one_line};
use wxpay_transport::fuzzing::{download_url, origin, path_and_query};
use wxpay_transport::{BaseUrl, Proxy, Target};

fuzz_target!(|text: &str| {
    base_url(text);
    raw_target(text);
    built_target(text);
    endpoint(text);
    file(text);
    match Proxy::new(text) {
        Ok(proxy) => drop(format!("{:?}", proxy.except(text))),
        Err(error) => assert_good_error(&error),
    }
});

fn base_url(text: &str) {
    if let Err(error) = BaseUrl::new(text) {
        assert_good_error(&error);
    }
    let base = match BaseUrl::dangerous_plain_http(text) {
        Ok(base) => base,
        Err(error) => return assert_good_error(&error),
    };
    let written = base.to_string();
    assert_one_line(&written, text.len() + 10);
    assert_eq!(BaseUrl::dangerous_plain_http(&written).as_ref(), Ok(&base));
    assert!(!base.host().is_empty() && !written.contains('@'));
    assert_ne!(base.port(), 0);
    let uri = origin(&base).expect("an origin that was accepted can be connected to");
    assert_eq!(uri.port_u16(), Some(base.port()));
    assert_eq!(uri.scheme_str(), Some(if base.is_https() { "https" } else { "http" }));
}

fn raw_target(text: &str) {
    match Target::new(text) {
        Ok(target) => {
            assert_eq!(target.as_str(), text);
            let sent = path_and_query(&target).expect("a target that was accepted can be sent");
            assert_eq!(sent.as_str(), text);
        }
        Err(error) => assert_good_error(&error),
    }
}

fn built_target(text: &str) {
    let v3 = Target::new("/v3").expect("a path");
    let built = v3.segment(text).and_then(|target| target.query(text, text));
    let built = match built {
        Ok(built) => built,
        Err(error) => return assert_good_error(&error),
    };
    assert_eq!(Target::new(built.as_str()).as_ref(), Ok(&built));
    assert_eq!(path_and_query(&built).expect("it can be sent").as_str(), built.as_str());
    let (path, query) = built.as_str().split_once('?').expect("a query was added");
    let (name, value) = query.split_once('=').expect("so was a value");
    for part in [path.strip_prefix("/v3/").expect("it begins so"), name, value] {
        assert_eq!(percent_decode_str(part).decode_utf8().expect("it was text"), text);
    }
}

fn endpoint(text: &str) {
    match Endpoint::new(text) {
        Ok(endpoint) => {
            let written = endpoint.to_string();
            assert_one_line(&written, text.len() + 10);
            assert_eq!(Endpoint::new(&written).expect("it was written by us"), endpoint);
        }
        Err(error) => assert_good_error(&error),
    }
}

fn file(text: &str) {
    let (origin, host, target) = match download_url(text) {
        Ok(read) => read,
        Err(error) => return assert_good_error(&error),
    };
    assert_one_line(&origin, 200);
    assert!(text.ends_with(target.as_str()) && target.as_str().starts_with('/'));
    assert!(!host.is_empty() && !host.contains(['@', '/', '?', '#', '\\']));
    let before = &text[..text.len() - target.as_str().len()];
    assert!(before.contains(&*host), "the host stands before the target");
}
