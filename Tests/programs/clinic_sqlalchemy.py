"""A clinic's program with SQLAlchemy, which Alembic's batch migrations upgrade."""

import re

import sqlalchemy
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import func, select

NOW = "2026-11-27T08:00:00Z"


class Program:
    """The program at one file. It takes the tables as they are in the file."""

    name = "sqlalchemy"

    def __init__(self, path):
        self.engine = sqlalchemy.create_engine("sqlite:///%s" % path, connect_args={"timeout": 30})
        self.tables = sqlalchemy.MetaData()
        self.tables.reflect(self.engine, only=lambda name, _: not name.startswith("clinicsync_"))

    def __getattr__(self, name):
        return self.tables.tables[name]

    def visit(self, name):
        """A patient comes, waits, and pays."""
        with self.engine.begin() as connection:

            def insert(table, **values):
                return connection.execute(table.insert().values(**values)).inserted_primary_key[0]

            patient = insert(self.patients, fullName=name, contactNumber=" 0917-555 01 ", createdAt=NOW)
            queue = self.active_patient_queue
            number = connection.execute(select(func.coalesce(func.max(queue.c.queueNumber), 0) + 1)).scalar_one()
            insert(queue, patientId=patient, patientName=name, arrivalTime=NOW, queueNumber=number, status="waiting", createdAt=NOW)
            service = self.clinic_services
            chosen = service.update().where(service.c.id == "service-urinalysis")
            connection.execute(chosen.values(selectionCount=service.c.selectionCount + 1))
            bill = insert(
                self.patient_bills,
                patientId=patient,
                invoiceNumber="INV " + name,
                billDate=NOW,
                totalAmount=300.5,
                status="Paid",
            )
            line = dict(billId=bill, serviceId="service-urinalysis", description="Urinalysis", unitPrice=150.25, itemTotal=150.25)
            connection.execute(self.bill_items.insert(), [line, line])
            insert(
                self.payments,
                billId=bill,
                patientId=patient,
                patientName=name,
                referenceNumber="REF " + name,
                paymentDate=NOW,
                amountPaid=300.5,
                paymentMethod="cash",
                receivedByUserId="u1",
            )

    def upgrade(self):
        """Rebuilds two tables, and makes digits of telephone numbers."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            operations = Operations(MigrationContext.configure(connection))
            for table in ("appointments", "patients"):
                with operations.batch_alter_table(table, recreate="always"):
                    pass
            patients = self.patients
            for key, number in connection.execute(select(patients.c.id, patients.c.contactNumber)).all():
                digits = re.sub(r"\D", "", number)
                connection.execute(patients.update().where(patients.c.id == key).values(contactNumber=digits))
            connection.exec_driver_sql("PRAGMA user_version = 2")
            connection.commit()

    def names(self):
        with self.engine.connect() as connection:
            column = self.patients.c.fullName
            return list(connection.execute(select(column).order_by(column)).scalars())

    def close(self):
        self.engine.dispose()
