"""What Alembic runs for every upgrade and downgrade; ``storage.migrate`` hands it the connection."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("no connection was handed over; expected a call of storage.migrate.migrate")

context.configure(connection=connection, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
