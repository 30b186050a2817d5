//! Creates the tables: accounts, sessions, rooms, members, messages, meta.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, boolean, pk_auto, string, text, text_null, uuid, uuid_null,
        var_binary, var_binary_null,
    },
    sea_orm::DbBackend,
};

#[derive(Debug)]
pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

#[derive(DeriveIden)]
enum Accounts {
    Table,
    Id,
    UserName,
    PasswordHash,
    Role,
    CreatedAt,
    DisabledAt,
    DeletedAt,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Id,
    UserId,
    RefreshHash,
    PreviousHash,
    Generation,
    RefreshedAt,
    ExpiresAt,
}

#[derive(DeriveIden)]
enum Rooms {
    Table,
    Id,
    ShortCode,
    Name,
    PasswordHash,
    OwnerId,
    CreatedAt,
    ActiveAt,
    LastSeq,
    LastMessageId,
    FirstSeq,
    Epoch,
    MembersEpoch,
}

#[derive(DeriveIden)]
enum Members {
    Table,
    RoomId,
    UserId,
    Joined,
    Banned,
    Epoch,
    RoomEpoch,
    ChatFrom,
    LastJoin,
}

#[derive(DeriveIden)]
enum Messages {
    Table,
}

#[derive(DeriveIden)]
enum Meta {
    Table,
    Name,
    Value,
}

/// No foreign keys: accounts are never deleted, and the messages of a deleted room are deleted later in small transactions,
/// so that deleting a large room does not block every writer. In SQLite the table is stored in its primary key's tree
/// (`WITHOUT ROWID`).
const MESSAGES: &str = "CREATE TABLE messages (
    room_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    message_id {uuid} NOT NULL,
    user_id BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    client_message_id TEXT NULL,
    PRIMARY KEY (room_id, seq)
){options}";

/// The columns stand in this order so that ids that rise with time append to one place for each room. The index is not
/// partial.
const MESSAGE_IDS: &str =
    "CREATE UNIQUE INDEX messages_client_message_id ON messages (room_id, client_message_id, user_id)";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(accounts()).await?;
        manager.create_table(sessions()).await?;
        manager.create_index(index("sessions_user_id", Sessions::Table, Sessions::UserId)).await?;
        manager.create_table(rooms()).await?;
        manager.create_index(index("rooms_owner_id", Rooms::Table, Rooms::OwnerId)).await?;
        manager.create_table(members()).await?;
        manager.create_index(index("members_user_id", Members::Table, Members::UserId)).await?;
        let (uuid, options) = match manager.get_database_backend() {
            DbBackend::Sqlite => ("BLOB", " WITHOUT ROWID"),
            _ => ("UUID", ""),
        };
        let messages = MESSAGES.replace("{uuid}", uuid).replace("{options}", options);
        let connection = manager.get_connection();
        connection.execute_unprepared(&messages).await?;
        connection.execute_unprepared(MESSAGE_IDS).await?;
        let meta = Table::create()
            .table(Meta::Table)
            .col(string(Meta::Name).primary_key())
            .col(text(Meta::Value))
            .to_owned();
        manager.create_table(meta).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Meta::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Messages::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Members::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Rooms::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Sessions::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Accounts::Table).to_owned()).await
    }
}

fn accounts() -> TableCreateStatement {
    Table::create()
        .table(Accounts::Table)
        .col(pk_auto(Accounts::Id).big_integer())
        .col(string(Accounts::UserName).unique_key())
        .col(text(Accounts::PasswordHash))
        .col(text(Accounts::Role))
        .col(big_integer(Accounts::CreatedAt))
        .col(big_integer_null(Accounts::DisabledAt))
        .col(big_integer_null(Accounts::DeletedAt))
        .to_owned()
}

fn sessions() -> TableCreateStatement {
    Table::create()
        .table(Sessions::Table)
        .col(uuid(Sessions::Id).primary_key())
        .col(big_integer(Sessions::UserId))
        .col(var_binary(Sessions::RefreshHash, 32).unique_key())
        .col(var_binary_null(Sessions::PreviousHash, 32).unique_key())
        .col(big_integer(Sessions::Generation))
        .col(big_integer(Sessions::RefreshedAt))
        .col(big_integer(Sessions::ExpiresAt))
        .foreign_key(
            ForeignKey::create().from(Sessions::Table, Sessions::UserId).to(Accounts::Table, Accounts::Id),
        )
        .to_owned()
}

fn rooms() -> TableCreateStatement {
    Table::create()
        .table(Rooms::Table)
        .col(pk_auto(Rooms::Id).big_integer())
        .col(string(Rooms::ShortCode).unique_key())
        .col(text(Rooms::Name))
        .col(text_null(Rooms::PasswordHash))
        .col(big_integer(Rooms::OwnerId))
        .col(big_integer(Rooms::CreatedAt))
        .col(big_integer(Rooms::ActiveAt))
        .col(big_integer(Rooms::LastSeq).default(0))
        .col(uuid_null(Rooms::LastMessageId))
        .col(big_integer(Rooms::FirstSeq).default(1))
        .col(big_integer(Rooms::Epoch).default(0))
        .col(big_integer(Rooms::MembersEpoch).default(0))
        .foreign_key(
            ForeignKey::create().from(Rooms::Table, Rooms::OwnerId).to(Accounts::Table, Accounts::Id),
        )
        .to_owned()
}

fn members() -> TableCreateStatement {
    Table::create()
        .table(Members::Table)
        .col(big_integer(Members::RoomId))
        .col(big_integer(Members::UserId))
        .col(boolean(Members::Joined))
        .col(boolean(Members::Banned))
        .col(big_integer(Members::Epoch))
        .col(big_integer(Members::RoomEpoch))
        .col(big_integer_null(Members::ChatFrom))
        .col(big_integer(Members::LastJoin))
        .primary_key(Index::create().col(Members::RoomId).col(Members::UserId))
        .foreign_key(
            ForeignKey::create()
                .from(Members::Table, Members::RoomId)
                .to(Rooms::Table, Rooms::Id)
                .on_delete(ForeignKeyAction::Cascade),
        )
        .foreign_key(
            ForeignKey::create().from(Members::Table, Members::UserId).to(Accounts::Table, Accounts::Id),
        )
        .to_owned()
}

fn index(name: &str, table: impl IntoTableRef, column: impl IntoIndexColumn) -> IndexCreateStatement {
    Index::create().name(name).table(table).col(column).to_owned()
}
