//! JSON as values that an expression reads, with lists and objects of bounded length.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use serde_json::Value as Json;

use super::ConditionFault;

/// Longest list or object that a condition may be given; a larger one is an evaluation error.
const MAX_ITEMS: usize = 256;

/// Values by variable, converted once and then shared by every condition of a decision.
pub struct Values(Vec<(&'static str, Value)>);

impl Values {
    /// Converts JSON values.
    ///
    /// # Errors
    /// When one has a list or an object that is too long.
    pub fn new(values: &[(&'static str, &Json)]) -> Result<Values, ConditionFault> {
        let converted = values.iter().map(|(name, value)| Ok((*name, owned(value)?)));
        converted.collect::<Result<Vec<_>, ConditionFault>>().map(Values)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

/// An object of these members, which stay where they are.
pub(super) fn borrowed_object<'v>(
    members: impl Iterator<Item = (&'v String, &'v Json)>,
) -> Result<Box<dyn Val + 'v>, ConditionFault> {
    let members = members.map(|(name, value)| Ok((CelMapKey::from(name.as_str()), borrowed(value)?)));
    let map: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = members.collect::<Result<_, ConditionFault>>()?;
    if map.len() > MAX_ITEMS { Err(too_long()) } else { Ok(Box::new(CelMap::from(map))) }
}

fn borrowed(value: &Json) -> Result<Box<dyn Val + '_>, ConditionFault> {
    Ok(match value {
        Json::Null => Box::new(CelNull),
        Json::Bool(value) => Box::new(CelBool::from(*value)),
        Json::Number(number) => match whole_or_float(number)? {
            Ok(whole) => Box::new(CelInt::from(whole)),
            Err(float) => Box::new(CelDouble::from(float)),
        },
        Json::String(text) => Box::new(CelString::from(text.as_str())),
        Json::Array(items) if items.len() > MAX_ITEMS => return Err(too_long()),
        Json::Array(items) => {
            let items: Vec<Box<dyn Val + '_>> = items.iter().map(borrowed).collect::<Result<_, _>>()?;
            Box::new(CelList::from(items))
        }
        Json::Object(members) => borrowed_object(members.iter())?,
    })
}

fn owned(value: &Json) -> Result<Value, ConditionFault> {
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => whole_or_float(number)?.map_or_else(Value::Float, Value::Int),
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) if items.len() > MAX_ITEMS => return Err(too_long()),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(owned).collect::<Result<_, _>>()?)),
        Json::Object(members) if members.len() > MAX_ITEMS => return Err(too_long()),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| Ok((name.as_str().into(), owned(value)?)));
            let map: HashMap<cel::objects::Key, Value> = members.collect::<Result<_, ConditionFault>>()?;
            Value::Map(cel::objects::Map { map: Arc::new(map) })
        }
    })
}

/// JSON's whole numbers become CEL's signed ones, so that `claims.count == 5` means what it says; one that does not fit
/// is no value at all rather than a rounded one.
fn whole_or_float(number: &serde_json::Number) -> Result<Result<i64, f64>, ConditionFault> {
    match (number.as_i64(), number.is_f64().then(|| number.as_f64()).flatten()) {
        (Some(whole), _) => Ok(Ok(whole)),
        (None, Some(float)) => Ok(Err(float)),
        (None, None) => Err(ConditionFault::new("a number is out of range")),
    }
}

fn too_long() -> ConditionFault {
    ConditionFault::new(format!("a list or an object has more than {MAX_ITEMS} items"))
}
