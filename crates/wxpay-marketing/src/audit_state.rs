//! States of audits.

use crate::open_enum::open_enum;

open_enum! {
    /// The state of a plan's audit (审核状态, `audit_state`): a filter of the list. Plans themselves have no such field.
    ///
    /// The list spells it `AUDIT_PASSED`, the notification `PASSED`. Both are read as the same state, and the spelling
    /// of the list is written.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
    pub enum AuditState {
        /// `AUDIT_INITIAL`: it has not begun.
        Initial = "AUDIT_INITIAL" | "INITIAL",
        /// `AUDIT_PROCESSING`: it is going on.
        Processing = "AUDIT_PROCESSING" | "PROCESSING",
        /// `AUDIT_PASSED`: passed.
        Passed = "AUDIT_PASSED" | "PASSED",
        /// `AUDIT_REJECTED`: rejected.
        Rejected = "AUDIT_REJECTED" | "REJECTED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_the_same_state() {
        for text in ["INITIAL", "PROCESSING", "PASSED", "REJECTED"] {
            let long = format!("AUDIT_{text}");
            let state = AuditState::from(long.as_str());
            assert_eq!(AuditState::from(text), state);
            assert_eq!(state.as_str(), long);
            assert!(!matches!(state, AuditState::Unknown(_)), "{text}");
        }
        assert_eq!(AuditState::from("AUDIT_WAITING").as_str(), "AUDIT_WAITING");
    }
}
