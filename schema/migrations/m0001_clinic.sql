-- The thirteen tables of a clinic, as the clinic's programs use them.
--
-- Programs open this file with any SQLite since 3.35 and write plain SQL. So nothing here may need
-- more: no STRICT (3.37; older libraries could not open the file at all), no unixepoch('subsec'),
-- no extension. There are no CHECK constraints: every PC must accept a row that a program wrote.
--
-- Keys are TEXT with a DEFAULT, 128 bits as 32 lower-case hex digits, most significant first:
--
--     bits 127-80   48 bits   milliseconds since 1970 (12 hex digits)
--     bits  79-0    80 bits   random                  (20 hex digits)
--
-- The time comes first, so that new rows go to the end of the index and sort by creation. The random
-- part makes the key unique: no PC can make another PC's key. A program may bring its own key.
-- The key is the row's name on every PC; row ids never leave the file.
--
-- Times are TEXT, ISO 8601, in UTC with Z. Money is REAL. Booleans are INTEGER 0/1. JSON is TEXT.
-- The order: a table stands after the tables that it refers to.

-- A person whom the clinic treats. Programs insert the row at registration and later update all its
-- columns. They search by `fullName`. Contact data and the medical summary are text in this table;
-- the findings of a visit are in medical_records.
CREATE TABLE patients (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    fullName TEXT,
    firstName TEXT,
    middleName TEXT,
    lastName TEXT,
    suffix TEXT,
    birthDate TEXT,
    gender TEXT,
    civilStatus TEXT,
    contactNumber TEXT,
    email TEXT,
    address TEXT,
    bloodType TEXT,
    allergies TEXT,
    currentMedications TEXT,
    medicalHistory TEXT,
    emergencyContactName TEXT,
    emergencyContactNumber TEXT,
    registrationDate TEXT,
    createdAt TEXT,
    updatedAt TEXT,
    isSeniorCitizen INTEGER DEFAULT 0
);
CREATE INDEX patients_fullName ON patients(fullName);
CREATE INDEX patients_birthDate ON patients(birthDate);

-- An account of a person who works here: admin, doctor or medtech. `password` and the security answers
-- are hashes. Two PCs may create the same `username` while apart; clinic.json has the rule for this.
CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    username TEXT UNIQUE,
    password TEXT,
    role TEXT,
    fullName TEXT,
    email TEXT,
    contactNumber TEXT,
    securityQuestion1 TEXT,
    securityAnswer1 TEXT,
    securityQuestion2 TEXT,
    securityAnswer2 TEXT,
    securityQuestion3 TEXT,
    securityAnswer3 TEXT,
    workingDays TEXT,
    arrivalTime TEXT,
    departureTime TEXT,
    isActive INTEGER DEFAULT 1,
    createdAt TEXT,
    updatedAt TEXT
);
CREATE INDEX users_role ON users(role);

-- A service of the clinic, and its price. `selectionCount` counts how often the service was chosen. It
-- is a counter: the increments of all PCs add up. The rows at the end of this file exist on every
-- install, under the same keys.
CREATE TABLE clinic_services (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    serviceName TEXT NOT NULL UNIQUE,
    description TEXT,
    category TEXT,
    defaultPrice REAL,
    selectionCount INTEGER NOT NULL DEFAULT 0
);

-- A visit that is planned or under way, walk-ins included. `status` is one of Scheduled, Pending,
-- Confirmed, In Progress, Completed, Cancelled. `selectedServices` is JSON. SQLite deletes the row with
-- its patient.
CREATE TABLE appointments (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    patientId TEXT REFERENCES patients(id) ON DELETE CASCADE,
    date TEXT,
    time TEXT,
    doctorId TEXT REFERENCES users(id),
    consultationType TEXT,
    durationMinutes INTEGER,
    status TEXT,
    consultationStartedAt TEXT,
    servedAt TEXT,
    selectedServices TEXT,
    totalPrice REAL,
    paymentStatus TEXT,
    originalAppointmentId TEXT,
    cancelledAt TEXT,
    cancellationReason TEXT,
    notes TEXT,
    isWalkIn INTEGER NOT NULL DEFAULT 0,
    createdAt TEXT,
    updatedAt TEXT
);
CREATE INDEX appointments_patientId ON appointments(patientId);
CREATE INDEX appointments_doctorId ON appointments(doctorId);
CREATE INDEX appointments_date ON appointments(date);
CREATE INDEX appointments_status ON appointments(status);

-- The result of a visit: a consultation or a laboratory record. SQLite deletes the row with its patient.
-- The row survives the deletion of its appointment and of its service. `selectedServices` and
-- `labResults` are JSON.
CREATE TABLE medical_records (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    patientId TEXT NOT NULL REFERENCES patients(id) ON DELETE CASCADE,
    appointmentId TEXT REFERENCES appointments(id) ON DELETE SET NULL,
    queueEntryId TEXT,
    serviceId TEXT REFERENCES clinic_services(id) ON DELETE SET NULL,
    selectedServices TEXT,
    recordType TEXT NOT NULL,
    recordDate TEXT NOT NULL,
    diagnosis TEXT,
    treatment TEXT,
    prescription TEXT,
    labResults TEXT,
    notes TEXT,
    doctorId TEXT NOT NULL REFERENCES users(id),
    createdAt TEXT NOT NULL,
    updatedAt TEXT NOT NULL
);
CREATE INDEX medical_records_patientId ON medical_records(patientId);
CREATE INDEX medical_records_doctorId ON medical_records(doctorId);
CREATE INDEX medical_records_recordType ON medical_records(recordType);
CREATE INDEX medical_records_recordDate ON medical_records(recordDate);
CREATE INDEX medical_records_appointmentId ON medical_records(appointmentId);

-- A session: one user logged in on one PC. A user has one active session in the whole clinic.
-- `sessionToken` is a hash of the token. An ended session keeps its row, with `invalidatedAt` and
-- `endReason`.
CREATE TABLE user_sessions (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    userId TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    username TEXT NOT NULL,
    deviceId TEXT NOT NULL,
    deviceName TEXT,
    loginTime TEXT NOT NULL,
    lastActivity TEXT NOT NULL,
    expiresAt TEXT NOT NULL,
    invalidatedAt TEXT,
    endReason TEXT,
    ipAddress TEXT,
    isActive INTEGER NOT NULL DEFAULT 1,
    sessionToken TEXT NOT NULL
);
CREATE INDEX user_sessions_userId ON user_sessions(userId);

-- Today's queue. `status` is one of waiting, in_progress, in_consultation, served, done, removed;
-- `paymentStatus` is one of Pending, Paid, Waived. Programs update all columns at each move and delete
-- the day's rows in the evening. The names of patient and doctor are copies, so the list reads one table.
CREATE TABLE active_patient_queue (
    queueEntryId TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    patientId TEXT REFERENCES patients(id) ON DELETE SET NULL,
    patientName TEXT NOT NULL,
    arrivalTime TEXT NOT NULL,
    queueNumber INTEGER NOT NULL,
    gender TEXT,
    age INTEGER,
    conditionOrPurpose TEXT,
    selectedServices TEXT,
    totalPrice REAL,
    status TEXT NOT NULL,
    paymentStatus TEXT,
    createdAt TEXT NOT NULL,
    addedByUserId TEXT REFERENCES users(id) ON DELETE SET NULL,
    servedAt TEXT,
    removedAt TEXT,
    consultationStartedAt TEXT,
    originalAppointmentId TEXT,
    doctorId TEXT,
    doctorName TEXT,
    isWalkIn INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX active_patient_queue_status ON active_patient_queue(status);
CREATE INDEX active_patient_queue_arrivalTime ON active_patient_queue(arrivalTime);
CREATE INDEX active_patient_queue_patientId ON active_patient_queue(patientId);

-- The history of a patient: one row for each changed field, with its author. Programs insert it before
-- they update the patient. Append-only: a merge loses no entry.
CREATE TABLE patient_history (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    patientId TEXT NOT NULL REFERENCES patients(id) ON DELETE CASCADE,
    fieldName TEXT NOT NULL,
    oldValue TEXT,
    newValue TEXT,
    updatedAt TEXT NOT NULL,
    updatedByUserId TEXT REFERENCES users(id) ON DELETE SET NULL,
    sourceOfChange TEXT
);
CREATE INDEX patient_history_patientId ON patient_history(patientId);
CREATE INDEX patient_history_updatedAt ON patient_history(updatedAt);

-- An invoice. `status` is one of Unpaid, Paid, PartiallyPaid. Programs write an invoice in one
-- transaction with its items, and often with its payment. Two PCs may use the same `invoiceNumber` while
-- apart; clinic.json has the rule for this.
CREATE TABLE patient_bills (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    patientId TEXT NOT NULL REFERENCES patients(id) ON DELETE CASCADE,
    invoiceNumber TEXT UNIQUE,
    billDate TEXT NOT NULL,
    dueDate TEXT,
    subtotal REAL,
    discountAmount REAL DEFAULT 0,
    taxAmount REAL DEFAULT 0,
    totalAmount REAL NOT NULL,
    status TEXT NOT NULL,
    notes TEXT,
    createdByUserId TEXT REFERENCES users(id)
);
CREATE INDEX patient_bills_patientId ON patient_bills(patientId);
CREATE INDEX patient_bills_status ON patient_bills(status);

-- A line of an invoice. SQLite deletes the row with its bill. `description` and prices are copies, so a
-- bill does not change when a service is renamed.
CREATE TABLE bill_items (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    billId TEXT NOT NULL REFERENCES patient_bills(id) ON DELETE CASCADE,
    serviceId TEXT REFERENCES clinic_services(id),
    description TEXT NOT NULL,
    quantity INTEGER NOT NULL DEFAULT 1,
    unitPrice REAL NOT NULL,
    itemTotal REAL NOT NULL
);
CREATE INDEX bill_items_billId ON bill_items(billId);
CREATE INDEX bill_items_serviceId ON bill_items(serviceId);

-- Money received for a bill. `referenceNumber` names the receipt. SQLite deletes the row with its bill,
-- and refuses to delete the patient and the receiving user while the row exists.
CREATE TABLE payments (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    billId TEXT NOT NULL REFERENCES patient_bills(id) ON DELETE CASCADE,
    patientId TEXT NOT NULL REFERENCES patients(id),
    patientName TEXT NOT NULL,
    invoiceNumber TEXT,
    referenceNumber TEXT NOT NULL UNIQUE,
    paymentDate TEXT NOT NULL,
    amountPaid REAL NOT NULL,
    totalBillAmount REAL,
    paymentMethod TEXT NOT NULL,
    receivedByUserId TEXT NOT NULL REFERENCES users(id),
    notes TEXT
);
CREATE INDEX payments_billId ON payments(billId);
CREATE INDEX payments_patientId ON payments(patientId);
CREATE INDEX payments_receivedByUserId ON payments(receivedByUserId);

-- An action of a user. `userId` is an id, a user name or SYSTEM, so it has no REFERENCES. Append-only.
CREATE TABLE user_activity_log (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    userId TEXT NOT NULL,
    actionDescription TEXT NOT NULL,
    targetRecordId TEXT,
    targetTable TEXT,
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    details TEXT
);
CREATE INDEX user_activity_log_userId ON user_activity_log(userId);
CREATE INDEX user_activity_log_timestamp ON user_activity_log(timestamp);

-- The report of a day's queue, one for each date. To update a report, programs delete it and insert it
-- again. Two PCs may both make a day's report. `queueData` is JSON.
CREATE TABLE patient_queue (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    reportDate TEXT NOT NULL UNIQUE,
    totalPatientsInQueue INTEGER NOT NULL,
    patientsServed INTEGER NOT NULL,
    patientsRemoved INTEGER,
    averageWaitTimeMinutes TEXT,
    peakHour TEXT,
    queueData TEXT,
    generatedAt TEXT NOT NULL,
    generatedByUserId TEXT REFERENCES users(id)
);

-- The services that every clinic starts with. Their keys are fixed and listed in clinic.json, so they are
-- the same rows on every install. A clinic may edit or delete them like other rows.
INSERT INTO clinic_services(id, serviceName, description, category, defaultPrice) VALUES
    ('service-general-consultation', 'General Consultation', 'Visit to the general practitioner', 'Consultation', 500.0),
    ('service-follow-up-consultation', 'Follow-up Consultation', 'Return visit for the same condition', 'Consultation', 300.0),
    ('service-pediatric-consultation', 'Pediatric Consultation', 'Visit for patients under 18', 'Consultation', 600.0),
    ('service-prenatal-checkup', 'Prenatal Check-up', 'Routine visit during pregnancy', 'Consultation', 600.0),
    ('service-medical-certificate', 'Medical Certificate', 'Examination and certificate', 'Documents', 200.0),
    ('service-complete-blood-count', 'Complete Blood Count', 'CBC with platelet count', 'Laboratory', 350.0),
    ('service-urinalysis', 'Urinalysis', 'Routine urine examination', 'Laboratory', 150.0),
    ('service-fecalysis', 'Fecalysis', 'Routine stool examination', 'Laboratory', 150.0),
    ('service-fasting-blood-sugar', 'Fasting Blood Sugar', 'Glucose after 8 hours of fasting', 'Laboratory', 200.0),
    ('service-lipid-profile', 'Lipid Profile', 'Cholesterol, HDL, LDL, triglycerides', 'Laboratory', 700.0),
    ('service-blood-typing', 'Blood Typing', 'ABO group and Rh factor', 'Laboratory', 250.0),
    ('service-electrocardiogram', 'Electrocardiogram', '12-lead ECG with reading', 'Diagnostics', 500.0),
    ('service-chest-x-ray', 'Chest X-ray', 'PA view with reading', 'Diagnostics', 600.0),
    ('service-ultrasound', 'Ultrasound', 'Abdominal or pelvic', 'Diagnostics', 1200.0),
    ('service-vaccination', 'Vaccination', 'Administration, vaccine not included', 'Procedure', 250.0),
    ('service-wound-dressing', 'Wound Dressing', 'Cleaning and dressing of a minor wound', 'Procedure', 300.0);
