//! A condition as a file has it: every fault shown where it stands.

use std::borrow::Borrow;
use std::convert::Infallible;

use super::{Condition, ConditionFault, Schema};
use crate::diagnostic::Diagnostics;
use crate::yaml::Fields;

/// Reads the field `condition`, and checks it against what is known of the values it reads.
pub fn read<C: Borrow<Condition>>(
    fields: &Fields<'_>,
    schema: &dyn Schema,
    faults: &mut Diagnostics,
    compile: impl FnOnce(&str) -> Result<C, ConditionFault>,
) -> Option<C> {
    let node = fields.node("condition")?;
    let text = fields.parse("condition", faults, |text| Ok::<_, Infallible>(text.to_owned()))?;
    let condition = match compile(&text) {
        Ok(condition) => condition,
        Err(fault) => {
            let place = fault.span().map_or_else(|| node.place.clone(), |bytes| fields.place_of(node, &bytes));
            let fix = "as in `condition: claims.run_attempt == \"1\"` (`request.method == \"GET\"` in a service)";
            faults.push(fields.fault(&place, "value", format!("`condition` {fault}")).fix(fix));
            return None;
        }
    };
    for fault in condition.borrow().check(schema) {
        let diagnostic = fields.fault(&fields.place_of(node, &fault.span), fault.id, fault.message);
        faults.push(match fault.fix {
            Some(fix) => diagnostic.fix(fix),
            None => diagnostic,
        });
    }
    Some(condition)
}
