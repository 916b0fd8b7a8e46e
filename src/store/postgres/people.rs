//! Changes of users and credentials. Each checks before it writes, so a refused one leaves nothing behind.

use tokio_postgres::{Client, Row};

use super::change::Changing;
use super::{fault, rows};
use crate::store::change::ended_by;
use crate::store::columns::{kind_name, origin_policy, state_name};
use crate::store::{Change, ChangeRefusal, CredentialRecord, Made, SessionsOf, StoreFault, UserRecord, UserState};
use crate::vocab::{CredentialName, UnixTime, UserName};

/// A change's result: a fault undoes it, a refusal only means that nothing was written.
type Written<T = ()> = Result<Result<T, ChangeRefusal>, StoreFault>;
type Sql<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

const REMOVE: &str = "UPDATE credentials SET removed = true, hashes = '{}', made = '{}', ends = '{}', changed = $2 ";

async fn found(client: &Client, sql: &str, name: &str) -> Result<Option<Row>, StoreFault> {
    client.query_opt(sql, &[&name]).await.map_err(fault)
}

/// The user of this name, as the database has it.
pub(super) async fn user(client: &Client, name: &UserName) -> Result<Option<UserRecord>, StoreFault> {
    let sql = format!("SELECT {} FROM users WHERE name = $1", rows::USER);
    found(client, &sql, name.as_str()).await?.as_ref().map(rows::user).transpose()
}

/// The credential of this name, as the database has it.
pub(super) async fn credential(client: &Client, name: &CredentialName) -> Result<Option<CredentialRecord>, StoreFault> {
    let sql = format!("SELECT {} FROM credentials WHERE name = $1 AND NOT removed", rows::CREDENTIAL);
    found(client, &sql, name.as_str()).await?.as_ref().map(rows::credential).transpose()
}

/// Makes a change and its record; gives how many sessions it ended.
pub(super) async fn change(tx: &Changing<'_>, change: &Change, made: &Made) -> Written<u64> {
    let mut ends = ended_by(change);
    let written = match change {
        Change::CreateUser(user) => create_user(tx, user).await?,
        Change::UserState(name, state) => set_user_state(tx, name, *state).await?,
        Change::CreateCredential(credential) => create_credential(tx, credential).await?,
        Change::UpdateCredential { from, to } => update_credential(tx, from.as_deref(), to).await?,
        Change::DeleteCredential(name) => {
            let old = credential(tx.client, name).await?;
            ends = old.map(|old| SessionsOf::Credential(old.user, old.client_id));
            delete_credential(tx, name).await?
        }
        Change::EndSessions(_) => Ok(()),
    };
    if let Err(refusal) = written {
        return Ok(Err(refusal));
    }
    let ended = match &ends {
        Some(which) => which.check(end_sessions(tx, which, made.at).await?),
        None => Ok(0),
    };
    let ended = match ended {
        Ok(ended) => ended,
        Err(refusal) => return Ok(Err(refusal)),
    };
    tx.audit(made.audit.as_slice()).await?;
    Ok(Ok(ended))
}

async fn end_sessions(tx: &Changing<'_>, which: &SessionsOf, at: UnixTime) -> Result<u64, StoreFault> {
    let names = |words: &mut dyn Iterator<Item = &str>| words.map(str::to_owned).collect::<Vec<_>>();
    let (condition, values, client) = match which {
        SessionsOf::Token(token) => ("token = ANY($3)", vec![token.to_string()], None),
        SessionsOf::User(user) => ("user_name = ANY($3)", vec![user.to_string()], None),
        SessionsOf::Credential(user, client) => {
            ("user_name = ANY($3)", vec![user.to_string()], Some(client.to_string()))
        }
        SessionsOf::Policies(policies) => {
            let names = names(&mut policies.iter().map(|name| name.as_str()));
            ("string_to_array(policies, ' ') && $3", names, None)
        }
        SessionsOf::Issuers(issuers) => {
            ("issuer = ANY($3)", names(&mut issuers.iter().map(|name| name.as_str())), None)
        }
    };
    let sql = format!(
        "UPDATE sessions SET revoked_at = $1, revoked_in = $2 WHERE revoked_at IS NULL AND {condition} \
         AND ($4::text IS NULL OR client_id = $4)"
    );
    tx.client.execute(&sql, &[&at.0, &tx.number, &values, &client]).await.map_err(fault)
}

async fn create_user(tx: &Changing<'_>, new: &UserRecord) -> Written {
    if user(tx.client, &new.name).await?.is_some_and(|user| user.state != UserState::Deleted) {
        return Ok(Err(ChangeRefusal::Exists(format!("user {}", new.name))));
    }
    let sql = "INSERT INTO users (name, origin_policy, state, created_at, changed) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (name) DO UPDATE SET origin_policy = excluded.origin_policy, state = excluded.state, \
               created_at = excluded.created_at, changed = excluded.changed";
    let (origin, state) = (origin_policy(&new.origin), state_name(new.state));
    let values: [Sql<'_>; 5] = [&new.name.as_str(), &origin, &state, &new.created_at.0, &tx.number];
    tx.client.execute(sql, &values).await.map_err(fault)?;
    Ok(Ok(()))
}

async fn set_user_state(tx: &Changing<'_>, name: &UserName, state: UserState) -> Written {
    if user(tx.client, name).await?.is_none_or(|user| user.state == UserState::Deleted) {
        return Ok(Err(ChangeRefusal::Missing(format!("user {name}"))));
    }
    if state == UserState::Deleted {
        let sql = format!("{REMOVE} WHERE user_name = $1 AND NOT removed");
        tx.client.execute(&sql, &[&name.as_str(), &tx.number]).await.map_err(fault)?;
    }
    let sql = "UPDATE users SET state = $2, changed = $3 WHERE name = $1";
    tx.client.execute(sql, &[&name.as_str(), &state_name(state), &tx.number]).await.map_err(fault)?;
    Ok(Ok(()))
}

async fn create_credential(tx: &Changing<'_>, new: &CredentialRecord) -> Written {
    if credential(tx.client, &new.name).await?.is_some() {
        return Ok(Err(ChangeRefusal::Exists(format!("credential {}", new.name))));
    }
    if user(tx.client, &new.user).await?.is_none_or(|user| user.state == UserState::Deleted) {
        return Ok(Err(ChangeRefusal::Missing(format!("user {}", new.user))));
    }
    // Other replicas may not have heard of a user that was made just in time.
    let told = "UPDATE users SET changed = $2 WHERE name = $1";
    tx.client.execute(told, &[&new.user.as_str(), &tx.number]).await.map_err(fault)?;
    let sql = "INSERT INTO credentials (name, client_id, user_name, kind, created_at, scopes, expires_at, disabled, \
               changed, hashes, made, ends) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '{}', '{}', '{}') \
               ON CONFLICT (name) DO UPDATE SET client_id = excluded.client_id, user_name = excluded.user_name, \
               kind = excluded.kind, created_at = excluded.created_at, removed = false";
    let (scopes, end) = (new.scopes.to_wire(), new.expires_at.map(|end| end.0));
    let values: [Sql<'_>; 9] = [
        &new.name.as_str(),
        &new.client_id.as_str(),
        &new.user.as_str(),
        &kind_name(new.kind),
        &new.created_at.0,
        &scopes,
        &end,
        &new.disabled,
        &tx.number,
    ];
    tx.client.execute(sql, &values).await.map_err(fault)?;
    put(tx, new).await
}

async fn update_credential(tx: &Changing<'_>, from: Option<&CredentialRecord>, new: &CredentialRecord) -> Written {
    let old = credential(tx.client, &new.name).await?.filter(|old| old.client_id == new.client_id);
    let Some(old) = old else {
        return Ok(Err(ChangeRefusal::Missing(format!("credential {}", new.name))));
    };
    if from.is_some_and(|from| *from != old) {
        return Ok(Err(ChangeRefusal::Outrun(format!("credential {}", new.name))));
    }
    put(tx, new).await
}

/// What may change in a credential.
async fn put(tx: &Changing<'_>, new: &CredentialRecord) -> Written {
    let sql = "UPDATE credentials SET scopes = $2, expires_at = $3, disabled = $4, hashes = $5, made = $6, ends = $7, \
               changed = $8 WHERE name = $1";
    let hashes: Vec<&[u8]> = new.secrets.iter().map(|secret| secret.hash.as_slice()).collect();
    let made: Vec<i64> = new.secrets.iter().map(|secret| secret.created_at.0).collect();
    let ends: Vec<Option<i64>> = new.secrets.iter().map(|secret| secret.expires_at.map(|end| end.0)).collect();
    let (scopes, end) = (new.scopes.to_wire(), new.expires_at.map(|end| end.0));
    let values: [Sql<'_>; 8] = [&new.name.as_str(), &scopes, &end, &new.disabled, &hashes, &made, &ends, &tx.number];
    tx.client.execute(sql, &values).await.map_err(fault)?;
    Ok(Ok(()))
}

async fn delete_credential(tx: &Changing<'_>, name: &CredentialName) -> Written {
    let sql = format!("{REMOVE} WHERE name = $1 AND NOT removed");
    match tx.client.execute(&sql, &[&name.as_str(), &tx.number]).await.map_err(fault)? {
        0 => Ok(Err(ChangeRefusal::Missing(format!("credential {name}")))),
        _ => Ok(Ok(())),
    }
}

/// All users that are not deleted, by name.
pub(super) async fn users(client: &Client) -> Result<Vec<UserRecord>, StoreFault> {
    let sql = format!("SELECT {} FROM users WHERE state <> 'deleted' ORDER BY name", rows::USER);
    let mut users: Vec<_> =
        client.query(&sql, &[]).await.map_err(fault)?.iter().map(rows::user).collect::<Result<_, _>>()?;
    // The database may sort by a language's rules.
    users.sort_by(|left: &UserRecord, right: &UserRecord| left.name.cmp(&right.name));
    Ok(users)
}

/// All credentials, by name.
pub(super) async fn credentials(client: &Client) -> Result<Vec<CredentialRecord>, StoreFault> {
    let sql = format!("SELECT {} FROM credentials WHERE NOT removed", rows::CREDENTIAL);
    let mut credentials: Vec<_> =
        client.query(&sql, &[]).await.map_err(fault)?.iter().map(rows::credential).collect::<Result<_, _>>()?;
    credentials.sort_by(|left: &CredentialRecord, right: &CredentialRecord| left.name.cmp(&right.name));
    Ok(credentials)
}
