//! Which slot holds the token that is meant.

use cryptoki::context::Pkcs11;
use cryptoki::error::Error;
use cryptoki::slot::{Slot, TokenInfo};

use super::call::Called;
use super::error::Pkcs11Error;
use super::uri::Pkcs11Uri;
use crate::foreign_text::foreign_text;

/// A token that was found.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) slot: Slot,
    /// Whether it wants a login before private keys are used. One whose info cannot be read does.
    pub(super) wants_login: bool,
}

/// Finds the one token that fits the address.
pub(super) fn find(context: &Pkcs11, uri: &Pkcs11Uri) -> Result<Token, Pkcs11Error> {
    let mut fitting = Vec::new();
    let mut present = Vec::new();
    for slot in context.get_slots_with_token().called()? {
        let info = context.get_token_info(slot);
        if matches!(&info, Ok(info) if !info.token_initialized()) {
            continue;
        }
        present.push(describe(slot, &info));
        if uri.slot_id.is_some_and(|id| id != slot.id()) {
            continue;
        }
        match info {
            Ok(info) => {
                if fits(uri, &info) {
                    fitting.push(Token { slot, wants_login: info.login_required() });
                }
            }
            // The token answered, in a form that is not understood (opencryptoki's clock, say).
            // Whoever names the slot knows what is in it.
            Err(error) if !matches!(error, Error::Pkcs11(..)) && names_the_slot_only(uri) => {
                fitting.push(Token { slot, wants_login: true });
            }
            Err(_) => {}
        }
    }
    let present = if present.is_empty() { "none".to_owned() } else { present.join(", ") };
    let (count, wanted) = (fitting.len(), uri.token_part());
    match fitting.pop() {
        None => Err(Pkcs11Error::TokenNotFound { wanted, present }),
        Some(token) if count == 1 => Ok(token),
        Some(_) => Err(Pkcs11Error::SeveralTokens { wanted, count, present }),
    }
}

fn fits(uri: &Pkcs11Uri, info: &TokenInfo) -> bool {
    let equal = |wanted: &Option<String>, found: &str| {
        // What a token pads its texts with is cut off already; not every token pads with blanks.
        wanted.as_deref().is_none_or(|wanted| wanted == found.trim_end_matches([' ', '\0']))
    };
    equal(&uri.token, info.label())
        && equal(&uri.serial, info.serial_number())
        && equal(&uri.manufacturer, info.manufacturer_id())
        && equal(&uri.model, info.model())
}

fn names_the_slot_only(uri: &Pkcs11Uri) -> bool {
    let others = [&uri.token, &uri.serial, &uri.manufacturer, &uri.model];
    uri.slot_id.is_some() && others.iter().all(|other| other.is_none())
}

fn describe(slot: Slot, info: &cryptoki::error::Result<TokenInfo>) -> String {
    match info {
        Ok(info) => {
            // No token has longer ones.
            let shown = |text| foreign_text(text, 32, &[]);
            let (label, serial) = (shown(info.label()), shown(info.serial_number()));
            format!("{label:?} (serial {serial}, slot-id {})", slot.id())
        }
        Err(_) => format!("one whose info cannot be read (slot-id {})", slot.id()),
    }
}
