//! Schema migrations, one file for each. A released migration is never edited. Each may run while the previous version
//! still serves.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m0001_initial;
mod m0002_original_accounts;
mod m0003_names_alike;

/// The migrations in their order.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Migration),
            Box::new(m0002_original_accounts::Migration),
            Box::new(m0003_names_alike::Migration),
        ]
    }
}
