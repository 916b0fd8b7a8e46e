//! Users: create, look at, disable, enable, delete.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{AdminState, Body, Problem};
use crate::audit::ChangeEvent;
use crate::store::{Change, ChangeRefusal, UserOrigin, UserRecord, UserState};
use crate::vocab::{PolicyName, UserName};

/// A user as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct UserView {
    name: UserName,
    state: UserState,
    /// `operator`, or `policy` for one that was made just in time.
    origin: &'static str,
    /// The policy that made it.
    policy: Option<PolicyName>,
    created_at: String,
}

impl From<UserRecord> for UserView {
    fn from(user: UserRecord) -> UserView {
        let (origin, policy) = match user.origin {
            UserOrigin::Operator => ("operator", None),
            UserOrigin::Policy(policy) => ("policy", Some(policy)),
        };
        UserView { name: user.name, state: user.state, origin, policy, created_at: user.created_at.to_rfc3339() }
    }
}

/// All users.
#[derive(Debug, Serialize)]
pub(super) struct UserList {
    users: Vec<UserView>,
}

/// What a new user needs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    name: String,
}

pub(super) async fn create(
    State(admin): State<AdminState>,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let user = UserRecord {
        name: UserName::parse(&new.name)?,
        origin: UserOrigin::Operator,
        state: UserState::Enabled,
        created_at: admin.clock.now(),
    };
    let event = ChangeEvent::new("user", "created", "admin_api").user(&user.name);
    admin.store.change(Change::CreateUser(user.clone()), event.made(&admin.clock)?).await?;
    tracing::info!(user = %user.name, "user {} created", user.name);
    Ok((StatusCode::CREATED, Json(user.into())))
}

pub(super) async fn list(State(admin): State<AdminState>) -> Result<Json<UserList>, Problem> {
    let users = admin.store.users().await?.into_iter().map(UserView::from).collect();
    Ok(Json(UserList { users }))
}

pub(super) async fn one(State(admin): State<AdminState>, name: Path<String>) -> Result<Json<UserView>, Problem> {
    let name = UserName::parse(&name)?;
    let found = admin.store.user(&name).await?.filter(|user| user.state != UserState::Deleted);
    let user = found.ok_or_else(|| ChangeRefusal::Missing(format!("user {name}")))?;
    Ok(Json(user.into()))
}

pub(super) async fn disable(admin: State<AdminState>, name: Path<String>) -> Result<Json<UserView>, Problem> {
    set_state(&admin, &name, UserState::Disabled).await?;
    one(admin, name).await
}

pub(super) async fn enable(admin: State<AdminState>, name: Path<String>) -> Result<Json<UserView>, Problem> {
    set_state(&admin, &name, UserState::Enabled).await?;
    one(admin, name).await
}

pub(super) async fn delete(admin: State<AdminState>, name: Path<String>) -> Result<StatusCode, Problem> {
    set_state(&admin, &name, UserState::Deleted).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_state(admin: &AdminState, name: &str, state: UserState) -> Result<(), Problem> {
    let name = UserName::parse(name)?;
    let change = match state {
        UserState::Enabled => "enabled",
        UserState::Disabled => "disabled",
        UserState::Deleted => "deleted",
    };
    let made = ChangeEvent::new("user", change, "admin_api").user(&name).made(&admin.clock)?;
    let ended = admin.store.change(Change::UserState(name.clone(), state), made).await?;
    tracing::info!(user = %name, user.state = ?state, sessions.ended = ended, "user {name} is now {change}");
    Ok(())
}
