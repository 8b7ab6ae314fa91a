//! Ids and numbers that become part of a header or of a path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{BrandId, Mchid, Nonce, SerialNo, WechatpaySerial};
use wxpay_fuzz::assert_good_error;
use wxpay_marketing::PlanId;
use wxpay_transport::Target;

fuzz_target!(|text: &str| {
    match PlanId::new(text) {
        Ok(plan_id) => {
            assert_eq!(plan_id.as_str(), text);
            let target = Target::new("/v3/delivery-plans")
                .and_then(|target| target.segment(plan_id.as_str()))
                .and_then(|target| target.segment("terminate"))
                .expect("an id that was accepted can be a segment");
            assert_eq!(target.as_str().split('/').count(), 5);
        }
        Err(error) => assert_good_error(&error),
    }
    match Mchid::new(text) {
        Ok(mchid) => assert_eq!(mchid.as_str(), text),
        Err(error) => assert_good_error(&error),
    }
    match SerialNo::new(text) {
        // 38 digits belong to a number whose first byte is zero.
        Ok(serial) => {
            let (zeros, digits) = serial.as_str().split_at(40 - text.len());
            assert!(matches!(zeros, "" | "00") && digits.eq_ignore_ascii_case(text));
        }
        Err(error) => assert_good_error(&error),
    }
    match WechatpaySerial::new(text) {
        Ok(serial) => {
            assert!(serial.as_str().eq_ignore_ascii_case(text));
            assert_eq!(WechatpaySerial::new(serial.as_str()).as_ref(), Ok(&serial));
        }
        Err(error) => assert_good_error(&error),
    }
    // Values for a header without escaping rules must need no escaping.
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    assert!(plain || (Nonce::new(text).is_err() && BrandId::new(text).is_err()));
});
