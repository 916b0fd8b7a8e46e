//! Signing keys and replicas as rows. A private half is always encrypted here.

use tokio_postgres::Client;

use super::change::Changing;
use super::{fault, rows};
use crate::store::{AuditRow, KeyChange, KeyRecord, PrivateKey, ReplicaRecord, SigningRing, StoreFault};
use crate::vocab::UnixTime;

type Sql<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

/// A replica that was not seen for so long is forgotten.
const FORGOTTEN_AFTER: i64 = 3600;

/// The ring by the database's clock.
pub(super) async fn ring(client: &Client) -> Result<SigningRing, StoreFault> {
    let now = client.query_one("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint", &[]).await;
    let now: i64 = rows::column(&now.map_err(fault)?, 0)?;
    let sql = format!("SELECT {} FROM signing_keys ORDER BY created_at, changed, id", rows::KEY);
    let keys = client.query(&sql, &[]).await.map_err(fault)?;
    let keys: Vec<KeyRecord> = keys.iter().map(rows::key).collect::<Result<_, _>>()?;
    let sql = format!("SELECT {} FROM replicas WHERE seen_at > $1 ORDER BY started_at, id", rows::REPLICA);
    let replicas = client.query(&sql, &[&(now - FORGOTTEN_AFTER)]).await.map_err(fault)?;
    Ok(SigningRing {
        now: UnixTime(now),
        number: keys.iter().map(|key| key.changed).max().unwrap_or(0),
        keys,
        replicas: replicas.iter().map(rows::replica).collect::<Result<_, _>>()?,
    })
}

/// Says that a replica lives, by the database's clock.
pub(super) async fn heartbeat(client: &Client, replica: &ReplicaRecord) -> Result<(), StoreFault> {
    let sql = "INSERT INTO replicas (id, name, software, started_at, applied, seen_at) \
               VALUES ($1, $2, $3, $4, $5, floor(extract(epoch FROM clock_timestamp()))) \
               ON CONFLICT (id) DO UPDATE SET applied = excluded.applied, seen_at = excluded.seen_at";
    let values: [Sql<'_>; 5] =
        [&replica.id, &replica.name, &replica.software, &replica.started_at.0, &rows::whole(replica.applied)];
    client.execute(sql, &values).await.map_err(fault)?;
    let forgotten = "DELETE FROM replicas WHERE seen_at < floor(extract(epoch FROM clock_timestamp())) - $1::bigint";
    client.execute(forgotten, &[&FORGOTTEN_AFTER]).await.map_err(fault)?;
    Ok(())
}

/// Writes the keys unless another change came first.
pub(super) async fn change(
    tx: &Changing<'_>,
    expected: u64,
    keys: &[KeyRecord],
    audit: &[AuditRow],
) -> Result<KeyChange, StoreFault> {
    let newest = tx.client.query_one("SELECT coalesce(max(changed), 0) FROM signing_keys", &[]).await.map_err(fault)?;
    if rows::number(&newest, 0)? != expected {
        return Ok(KeyChange::Outrun);
    }
    for key in keys {
        put(tx, key).await?;
    }
    tx.audit(audit).await?;
    Ok(KeyChange::Made)
}

async fn put(tx: &Changing<'_>, key: &KeyRecord) -> Result<(), StoreFault> {
    let (private, kek): (&[u8], Option<&str>) = match &key.private {
        PrivateKey::Plain(_) => {
            return Err(StoreFault("a private key is only kept encrypted: set `key_encryption_key`".to_owned()));
        }
        PrivateKey::Wrapped { kek_id, sealed } => (sealed, Some(kek_id)),
        PrivateKey::Erased => (&[], None),
    };
    let sql = "INSERT INTO signing_keys (id, algorithm, purpose, state, private_key, kek, created_at, published_at, \
               activated_at, retired_at, ended_at, longest_token, changed) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO UPDATE SET \
               state = excluded.state, private_key = excluded.private_key, kek = excluded.kek, \
               published_at = excluded.published_at, activated_at = excluded.activated_at, \
               retired_at = excluded.retired_at, ended_at = excluded.ended_at, \
               longest_token = excluded.longest_token, changed = excluded.changed";
    let seconds = |time: Option<UnixTime>| time.map(|time| time.0);
    let values: [Sql<'_>; 13] = [
        &key.id,
        &key.algorithm.as_str(),
        &key.purpose.as_str(),
        &key.state.as_str(),
        &private,
        &kek,
        &key.created_at.0,
        &seconds(key.published_at),
        &seconds(key.activated_at),
        &seconds(key.retired_at),
        &seconds(key.ended_at),
        &rows::whole(key.longest_token.as_secs()),
        &tx.number,
    ];
    tx.client.execute(sql, &values).await.map_err(fault)?;
    Ok(())
}
