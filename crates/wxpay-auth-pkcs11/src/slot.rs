//! Finds the slot of a token.

use cryptoki::context::Pkcs11;
use cryptoki::error::Error;
use cryptoki::slot::{Slot, TokenInfo};
use wxpay_auth_core::foreign_text;

use crate::error::Pkcs11Error;
use crate::key_lookup::listing;
use crate::module::settings;
use crate::return_value::Called;
use crate::session::pin_history::TokenName;
use crate::uri::Pkcs11Uri;

/// A token that was found.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) slot: Slot,
    /// Whether private keys require a login. Assumed if the info of the token cannot be read.
    pub(crate) wants_login: bool,
    pub(crate) name: TokenName,
}

/// Finds the only token that fits the address.
pub(crate) fn find(context: &Pkcs11, uri: &Pkcs11Uri) -> Result<Token, Pkcs11Error> {
    let (mut fitting, mut fitting_shown) = (Vec::new(), Vec::new());
    let (mut present, mut usable) = (Vec::new(), false);
    for slot in context.get_slots_with_token().called()? {
        let info = context.get_token_info(slot);
        present.push(describe(slot, &info));
        if matches!(&info, Ok(info) if !info.token_initialized()) {
            continue;
        }
        usable = true;
        if uri.slot_id.is_some_and(|id| id != slot.id()) {
            continue;
        }
        match info {
            Ok(info) => {
                if fits(uri, &info) {
                    fitting_shown.extend(present.last().cloned());
                    let (name, wants_login) = (TokenName::of(&info), info.login_required());
                    fitting.push(Token { slot, wants_login, name });
                }
            }
            // The token responded in a form that cannot be parsed (the clock of opencryptoki). An
            // address with only a slot fits whatever token is in it.
            Err(error) if !matches!(error, Error::Pkcs11(..)) && names_the_slot_only(uri) => {
                let name = TokenName::Slot(slot.id());
                fitting.push(Token { slot, wants_login: true, name });
            }
            Err(_) => {}
        }
    }
    let shown = |tokens: Vec<String>| {
        let all = tokens.len();
        listing::joined(&listing::bounded(tokens, all))
    };
    let (count, wanted) = (fitting.len(), uri.token_part());
    match fitting.pop() {
        None => {
            // A module that does not find its settings shows no token, or an empty slot.
            let settings = (!usable).then(|| settings::hint(uri.module_path.as_deref()));
            Err(Pkcs11Error::TokenNotFound { wanted, present: shown(present), settings })
        }
        Some(token) if count == 1 => Ok(token),
        Some(_) => Err(Pkcs11Error::SeveralTokens { wanted, count, present: shown(fitting_shown) }),
    }
}

fn fits(uri: &Pkcs11Uri, info: &TokenInfo) -> bool {
    let equal = |wanted: &Option<String>, found: &str| {
        wanted.as_deref().is_none_or(|wanted| unpadded(wanted) == unpadded(found))
    };
    equal(&uri.token, info.label())
        && equal(&uri.serial, info.serial_number())
        && equal(&uri.manufacturer, info.manufacturer_id())
        && equal(&uri.model, info.model())
}

/// Removes the padding of a text. The standard requires blanks, and a TPM uses NULs; some tools
/// print them, others omit them.
pub(crate) fn unpadded(text: &str) -> &str {
    text.trim_end_matches([' ', '\0'])
}

/// The flags of a token that matter before a PIN is sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    /// `CKF_RNG`
    pub(crate) makes_random_numbers: bool,
    /// `CKF_USER_PIN_FINAL_TRY`: it locks after one more wrong PIN.
    pub(crate) has_last_try: bool,
}

/// Reads the flags of the token. If its info cannot be parsed (opencryptoki), none are set.
pub(crate) fn flags(context: &Pkcs11, slot: Slot) -> cryptoki::error::Result<Flags> {
    match context.get_token_info(slot) {
        Ok(info) => {
            Ok(Flags { makes_random_numbers: info.rng(), has_last_try: info.user_pin_final_try() })
        }
        Err(Error::Pkcs11(code, function)) => Err(Error::Pkcs11(code, function)),
        Err(_) => Ok(Flags::default()),
    }
}

fn names_the_slot_only(uri: &Pkcs11Uri) -> bool {
    let others = [&uri.token, &uri.serial, &uri.manufacturer, &uri.model];
    uri.slot_id.is_some() && others.iter().all(|other| other.is_none())
}

fn describe(slot: Slot, info: &cryptoki::error::Result<TokenInfo>) -> String {
    match info {
        Ok(info) if !info.token_initialized() => {
            format!("a token that is not initialised (slot-id {})", slot.id())
        }
        Ok(info) => {
            // No token has longer ones.
            let shown = |text| foreign_text(unpadded(text), 32, &[]);
            let (label, serial) = (shown(info.label()), shown(info.serial_number()));
            format!("{label:?} (serial {serial}, slot-id {})", slot.id())
        }
        Err(_) => format!("one whose info cannot be read (slot-id {})", slot.id()),
    }
}
