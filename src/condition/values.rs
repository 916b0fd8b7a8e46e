//! JSON as values that an expression reads, with lists and objects of bounded length.

use std::collections::HashMap;

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use serde_json::Value as Json;

use super::ConditionFault;

/// Longest list or object that a condition may be given; a larger one is an evaluation error, as are more values or
/// bytes than these, in what it reads altogether.
pub(super) const MAX_ITEMS: usize = 256;
/// Most values: each item, member and object counts.
pub(super) const MAX_VALUES: usize = 512;
/// Most bytes of texts and names. An assertion has no more (`request::MAX_ASSERTION_BYTES`).
pub(super) const MAX_BYTES: usize = 16 * 1024;

/// A variable as an expression reads it.
pub(super) type Named<'v> = (&'static str, Box<dyn Val + 'v>);

/// Values by variable.
pub struct Values(Vec<(&'static str, Json)>);

impl Values {
    /// Of these JSON values.
    #[must_use]
    pub fn new(values: Vec<(&'static str, Json)>) -> Values {
        Values(values)
    }

    /// As an expression reads them.
    pub(super) fn borrowed(&self) -> Result<Vec<Named<'_>>, ConditionFault> {
        let mut room = Room::new();
        self.0.iter().map(|(name, value)| Ok((*name, room.borrowed(value)?))).collect()
    }
}

/// An object of these members, which stay where they are.
pub(super) fn borrowed_object<'v>(
    members: impl Iterator<Item = (&'v String, &'v Json)>,
) -> Result<Box<dyn Val + 'v>, ConditionFault> {
    Room::new().borrowed_object(members)
}

/// What may still be converted.
struct Room {
    values: usize,
    bytes: usize,
}

impl Room {
    fn new() -> Room {
        Room { values: MAX_VALUES, bytes: MAX_BYTES }
    }

    /// Takes the room of one value with this much text.
    fn take(&mut self, bytes: usize) -> Result<(), ConditionFault> {
        let left = self.values.checked_sub(1).zip(self.bytes.checked_sub(bytes));
        (self.values, self.bytes) = left.ok_or_else(too_much)?;
        Ok(())
    }

    fn borrowed_object<'v>(
        &mut self,
        members: impl Iterator<Item = (&'v String, &'v Json)>,
    ) -> Result<Box<dyn Val + 'v>, ConditionFault> {
        self.take(0)?;
        let mut map: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
        for (name, value) in members {
            self.bytes = self.bytes.checked_sub(name.len()).ok_or_else(too_much)?;
            map.insert(CelMapKey::from(name.as_str()), self.borrowed(value)?);
            if map.len() > MAX_ITEMS {
                return Err(too_long());
            }
        }
        Ok(Box::new(CelMap::from(map)))
    }

    fn borrowed<'v>(&mut self, value: &'v Json) -> Result<Box<dyn Val + 'v>, ConditionFault> {
        if let Json::Object(members) = value {
            return self.borrowed_object(members.iter());
        }
        self.take(value.as_str().map_or(0, str::len))?;
        Ok(match value {
            Json::Null | Json::Object(_) => Box::new(CelNull),
            Json::Bool(value) => Box::new(CelBool::from(*value)),
            Json::Number(number) => match whole_or_float(number)? {
                Ok(whole) => Box::new(CelInt::from(whole)),
                Err(float) => Box::new(CelDouble::from(float)),
            },
            Json::String(text) => Box::new(CelString::from(text.as_str())),
            Json::Array(items) => {
                check_length(items.len())?;
                let items = items.iter().map(|item| self.borrowed(item));
                Box::new(CelList::from(items.collect::<Result<Vec<_>, _>>()?))
            }
        })
    }
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

fn check_length(items: usize) -> Result<(), ConditionFault> {
    if items > MAX_ITEMS { Err(too_long()) } else { Ok(()) }
}

fn too_long() -> ConditionFault {
    ConditionFault::new(format!("a list or an object has more than {MAX_ITEMS} items"))
}

fn too_much() -> ConditionFault {
    ConditionFault::new(format!("there are more than {MAX_VALUES} values or {MAX_BYTES} bytes in what it reads"))
}
