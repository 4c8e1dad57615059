"""A clinic's program with peewee."""

import re

import peewee
from playhouse.reflection import generate_models

NOW = "2026-11-27T08:00:00Z"


class Program:
    """The program at one file. It takes the tables as they are in the file."""

    name = "peewee"

    def __init__(self, path):
        self.database = peewee.SqliteDatabase(str(path), timeout=30, pragmas={"foreign_keys": 1})
        names = [name for name in self.database.get_tables() if not name.startswith("clinicsync_")]
        self.models = generate_models(self.database, table_names=names, literal_column_names=True)

    def __getattr__(self, name):
        return self.models[name]

    def visit(self, name):
        """A patient comes, waits, and pays."""
        with self.database.atomic("IMMEDIATE"):

            def insert(model, **values):
                """Returns the new row's key; `create` would take it from SQLite's row number."""
                return model.insert(**values).returning(model._meta.primary_key).tuples().execute()[0][0]

            patient = insert(self.patients, fullName=name, contactNumber=" 0917-555 01 ", createdAt=NOW)
            queue = self.active_patient_queue
            number = queue.select(peewee.fn.COALESCE(peewee.fn.MAX(queue.queueNumber), 0) + 1).scalar()
            insert(queue, patientId=patient, patientName=name, arrivalTime=NOW, queueNumber=number, status="waiting", createdAt=NOW)
            service = self.clinic_services
            service.update(selectionCount=service.selectionCount + 1).where(service.id == "service-urinalysis").execute()
            bill = insert(
                self.patient_bills,
                patientId=patient,
                invoiceNumber="INV " + name,
                billDate=NOW,
                totalAmount=300.5,
                status="Paid",
            )
            line = dict(billId=bill, serviceId="service-urinalysis", description="Urinalysis", unitPrice=150.25, itemTotal=150.25)
            self.bill_items.insert_many([line, line]).execute()
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
        """Makes digits of telephone numbers; rows are saved as a whole."""
        with self.database.atomic("IMMEDIATE"):
            for patient in list(self.patients.select()):
                patient.contactNumber = re.sub(r"\D", "", patient.contactNumber)
                patient.save()
            self.database.pragma("user_version", 2)

    def names(self):
        patients = self.patients
        return [patient.fullName for patient in patients.select().order_by(patients.fullName)]

    def close(self):
        self.database.close()
