//! States of delivery plans.

use crate::open_enum::open_enum;

open_enum! {
    /// The state of a delivery plan (投放计划状态, `plan_state`).
    ///
    /// The pages of 2025 spell a state `PLAN_PAUSED`, those of 2026 `PAUSED`. Both are read as the same state, and the
    /// newer spelling is written.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016402231>
    ///
    /// ```
    /// use wxpay_marketing::PlanState;
    ///
    /// assert_eq!(PlanState::from("PLAN_TERMINATED"), PlanState::Terminated);
    /// assert!(PlanState::from("TERMINATED").is_final());
    /// assert_eq!(PlanState::from("RESTING").as_str(), "RESTING");
    /// ```
    pub enum PlanState {
        /// `CREATED`: it waits for its audit.
        Created = "CREATED" | "PLAN_CREATED",
        /// `DELIVERING`: consumers see it.
        Delivering = "DELIVERING" | "PLAN_DELIVERING",
        /// `PAUSED`: its stock is used up, or was deactivated. It is not ended: restocking resumes it, after an audit.
        Paused = "PAUSED" | "PLAN_PAUSED",
        /// `PLAN_CREATING`: it is being created. Only the pages of 2025 have it.
        Creating = "PLAN_CREATING" | "CREATING",
        /// `PLAN_TERMINATING`: its termination has begun. Only the pages of 2025 have it.
        Terminating = "PLAN_TERMINATING" | "TERMINATING",
        /// `TERMINATED`: it was terminated. Final.
        Terminated = "TERMINATED" | "PLAN_TERMINATED",
        /// `EXPIRED`: its end is past. Final.
        Expired = "EXPIRED" | "PLAN_EXPIRED",
    }
}

impl PlanState {
    /// Returns whether nothing follows this state: `TERMINATED` or `EXPIRED`. An unknown state is not final.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Terminated | Self::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(PlanState, &str); 7] = [
        (PlanState::Created, "CREATED"),
        (PlanState::Delivering, "DELIVERING"),
        (PlanState::Paused, "PAUSED"),
        (PlanState::Creating, "PLAN_CREATING"),
        (PlanState::Terminating, "PLAN_TERMINATING"),
        (PlanState::Terminated, "TERMINATED"),
        (PlanState::Expired, "EXPIRED"),
    ];

    #[test]
    fn both_spellings_are_the_same_state() {
        for (state, text) in ALL {
            let plain = text.trim_start_matches("PLAN_");
            for spelling in [plain.to_owned(), format!("PLAN_{plain}")] {
                assert_eq!(PlanState::from(spelling.as_str()), state);
                let json = format!("\"{spelling}\"");
                assert_eq!(serde_json::from_str::<PlanState>(&json).unwrap(), state);
            }
            assert_eq!(state.as_str(), text);
            assert_eq!(serde_json::to_value(&state).unwrap(), text);
            assert_eq!(state.is_final(), matches!(text, "TERMINATED" | "EXPIRED"), "{text}");
        }
    }

    #[test]
    fn an_unknown_state_is_kept_and_is_not_final() {
        for text in ["RESTING", "PLAN_", "terminated", "TERMINATED ", ""] {
            let state = PlanState::from(text.to_owned());
            assert_eq!(state, PlanState::Unknown(text.to_owned()));
            assert_eq!((state.as_str(), state.is_final()), (text, false));
            assert_eq!(serde_json::to_value(&state).unwrap(), text);
        }
        let shown = PlanState::from("RESTING\r\n\u{202e}now").to_string();
        assert_eq!(shown.lines().count(), 1, "{shown:?}");
        assert!(!shown.contains('\u{202e}'), "{shown:?}");
    }
}
