-- Made from the migrations by a test (schema/README.md); not read by anything.

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

CREATE INDEX active_patient_queue_arrivalTime ON active_patient_queue(arrivalTime);

CREATE INDEX active_patient_queue_patientId ON active_patient_queue(patientId);

CREATE INDEX active_patient_queue_status ON active_patient_queue(status);

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

CREATE INDEX appointments_date ON appointments(date);

CREATE INDEX appointments_doctorId ON appointments(doctorId);

CREATE INDEX appointments_patientId ON appointments(patientId);

CREATE INDEX appointments_status ON appointments(status);

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

CREATE TABLE clinic_services (
    id TEXT PRIMARY KEY NOT NULL
        DEFAULT (lower(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)) || hex(randomblob(10)))),
    serviceName TEXT NOT NULL UNIQUE,
    description TEXT,
    category TEXT,
    defaultPrice REAL,
    selectionCount INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE clinicsync_aside (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    slot    INTEGER NOT NULL,
    value, shown,
    PRIMARY KEY (tableId, pk, slot)
) WITHOUT ROWID;

CREATE TABLE clinicsync_claim (
    tableId INTEGER NOT NULL,
    rule    INTEGER NOT NULL,
    value           NOT NULL,
    pk              NOT NULL,
    PRIMARY KEY (tableId, rule, value, pk)
) WITHOUT ROWID;

CREATE INDEX clinicsync_claim_row ON clinicsync_claim (tableId, pk);

CREATE TABLE clinicsync_conflict (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT,
    tableName TEXT,
    recordId,
    columnName TEXT,
    value,
    origin TEXT,
    sequence INTEGER,
    timestamp INTEGER,
    relatedTable TEXT,
    relatedId
);

CREATE INDEX clinicsync_conflict_row ON clinicsync_conflict (tableName, recordId);

CREATE TABLE clinicsync_context (
    id     INTEGER PRIMARY KEY,
    hash   INTEGER NOT NULL UNIQUE,
    vector BLOB    NOT NULL
);

CREATE TABLE clinicsync_counter (
    tableId  INTEGER NOT NULL,
    pk               NOT NULL,
    slot     INTEGER NOT NULL,
    origin   INTEGER NOT NULL,
    total    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk, slot, origin)
) WITHOUT ROWID;

CREATE TABLE clinicsync_digest (
    tableId INTEGER PRIMARY KEY,
    rows    INTEGER NOT NULL,
    high    INTEGER NOT NULL,
    low     INTEGER NOT NULL
);

CREATE TABLE clinicsync_dirty (
    tableId INTEGER NOT NULL,
    pk NOT NULL,
    writtenAt INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

CREATE TABLE clinicsync_event (
    position  INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    tableId   INTEGER,
    operation INTEGER,
    pk        TEXT,
    slots     INTEGER,
    rows      INTEGER,
    isLocal   INTEGER,
    origin    INTEGER,
    sequence  INTEGER,
    userId    TEXT,
    type      TEXT,
    category  TEXT,
    fields    TEXT
);

CREATE TABLE clinicsync_grant (
    node TEXT PRIMARY KEY NOT NULL,
    certificate BLOB NOT NULL
);

CREATE TABLE clinicsync_guard (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    applying INTEGER NOT NULL DEFAULT 0 CHECK (applying IN (0, 1))
);

CREATE TABLE clinicsync_horizon (
    id     TEXT PRIMARY KEY NOT NULL,
    vector BLOB,
    at     INTEGER NOT NULL DEFAULT 0,
    host   TEXT NOT NULL DEFAULT ''
, forgotten BLOB);

CREATE TABLE clinicsync_journal (
    id         INTEGER PRIMARY KEY,
    tableId    INTEGER NOT NULL,
    pk                 NOT NULL,
    slot       INTEGER NOT NULL,
    value,
    timestamp  INTEGER NOT NULL,
    origin     INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    winnerTimestamp INTEGER NOT NULL,
    winnerOrigin    INTEGER NOT NULL,
    winnerSequence  INTEGER NOT NULL,
    recordedAt INTEGER NOT NULL, resolvedAt INTEGER, kept TEXT,
    UNIQUE (tableId, pk, slot, origin, sequence, timestamp)
);

CREATE INDEX clinicsync_journal_open ON clinicsync_journal (tableId) WHERE resolvedAt IS NULL;

CREATE TABLE clinicsync_lapse (
    node  TEXT PRIMARY KEY NOT NULL,
    since INTEGER NOT NULL DEFAULT 0,
    host  TEXT NOT NULL DEFAULT ''
);

CREATE TABLE clinicsync_log (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    origin   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    chunk    INTEGER NOT NULL,
    isLast   INTEGER NOT NULL,
    header   BLOB,
    checksum INTEGER NOT NULL,
    storedAt INTEGER NOT NULL,
    payload  BLOB    NOT NULL
);

CREATE UNIQUE INDEX clinicsync_log_batch ON clinicsync_log (origin, sequence, chunk, isLast);

CREATE TABLE clinicsync_member (
    node   BLOB PRIMARY KEY NOT NULL,
    vector BLOB    NOT NULL,
    seenAt INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE clinicsync_node (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    certificate BLOB,
    softwareVersion TEXT NOT NULL DEFAULT '',
    maySign INTEGER NOT NULL DEFAULT 0,
    joinedAt INTEGER NOT NULL DEFAULT 0
, addresses TEXT NOT NULL DEFAULT '', schemaVersion INTEGER NOT NULL DEFAULT 0, aliveAt INTEGER NOT NULL DEFAULT 0, statement BLOB, renaming BLOB, columns TEXT, lacks TEXT);

CREATE TABLE clinicsync_notice (
    id TEXT PRIMARY KEY NOT NULL,
    node TEXT,
    userId TEXT,
    text TEXT NOT NULL DEFAULT '',
    createdAt INTEGER NOT NULL DEFAULT 0,
    createdBy TEXT NOT NULL DEFAULT ''
);

CREATE TABLE clinicsync_origin (
    id          INTEGER PRIMARY KEY,
    node        BLOB    NOT NULL,
    incarnation INTEGER NOT NULL,
    sequence    INTEGER NOT NULL DEFAULT 0,
    seen        BLOB    NOT NULL DEFAULT x'',
    timestamp   INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0,
    UNIQUE (node, incarnation)
);

CREATE TABLE clinicsync_pin (
    peer   BLOB    PRIMARY KEY NOT NULL,
    vector BLOB    NOT NULL,
    since  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE clinicsync_probe (
    node TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL DEFAULT 0,
    startedAt INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE clinicsync_probe_answer (
    id TEXT PRIMARY KEY NOT NULL,
    prober TEXT NOT NULL DEFAULT '',
    answerer TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL DEFAULT 0,
    connected TEXT NOT NULL DEFAULT ''
);

CREATE TABLE clinicsync_provisional (
    session TEXT PRIMARY KEY NOT NULL,
    isProvisional INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE clinicsync_resolution (
    id TEXT PRIMARY KEY NOT NULL,
    kept TEXT,
    resolvedAt INTEGER,
    node TEXT
);

CREATE TABLE clinicsync_revocation (
    node TEXT PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL,
    entry BLOB NOT NULL
);

CREATE TABLE clinicsync_row (
    tableId   INTEGER NOT NULL,
    pk                NOT NULL,
    timestamp INTEGER NOT NULL,
    origin    INTEGER NOT NULL,
    sequence  INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    columns   BLOB    NOT NULL,
    registers BLOB,
    context   INTEGER,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

CREATE TABLE clinicsync_session (
    id TEXT PRIMARY KEY NOT NULL,
    userId TEXT NOT NULL,
    username TEXT NOT NULL,
    deviceId TEXT NOT NULL,
    deviceName TEXT NOT NULL
);

CREATE TABLE clinicsync_setting (
    name  TEXT PRIMARY KEY NOT NULL,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE clinicsync_shadow (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    form    INTEGER NOT NULL,
    state   BLOB    NOT NULL,
    context INTEGER,
    PRIMARY KEY (tableId, pk)
);

CREATE TABLE clinicsync_stage (
    number    INTEGER PRIMARY KEY,
    tableName TEXT    NOT NULL,
    checksum  INTEGER NOT NULL,
    payload   BLOB    NOT NULL
, pk, lacksRows INTEGER NOT NULL DEFAULT 0);

CREATE TABLE clinicsync_sum (
    tableId INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    rows    INTEGER NOT NULL,
    high    INTEGER NOT NULL,
    low     INTEGER NOT NULL,
    PRIMARY KEY (tableId, kind)
) WITHOUT ROWID;

CREATE TABLE clinicsync_table (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (typeof(name) = 'text'),
    columns TEXT NOT NULL CHECK (typeof(columns) = 'text')
, defaults TEXT, types TEXT);

CREATE TABLE clinicsync_told (
    id TEXT PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE clinicsync_tombstone (
    tableId   INTEGER NOT NULL,
    pk                NOT NULL,
    timestamp INTEGER NOT NULL,
    state     BLOB    NOT NULL,
    context   INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
);

CREATE TABLE clinicsync_transfer (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    vector     BLOB    NOT NULL,
    through    BLOB,
    tableName  TEXT    NOT NULL,
    pk,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    progressAt INTEGER NOT NULL
, forgotten BLOB);

CREATE TABLE clinicsync_unread (
    pk             NOT NULL,
    detail BLOB NOT NULL,
    PRIMARY KEY (pk)
) WITHOUT ROWID;

CREATE TABLE clinicsync_unshared (
    origin      INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    clockOffset INTEGER NOT NULL,
    floor       INTEGER NOT NULL,
    PRIMARY KEY (origin, sequence)
) WITHOUT ROWID;

CREATE TABLE clinicsync_waiting (
    tableId INTEGER NOT NULL,
    pk              NOT NULL,
    reason  TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (tableId, pk)
) WITHOUT ROWID;

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

CREATE INDEX medical_records_appointmentId ON medical_records(appointmentId);

CREATE INDEX medical_records_doctorId ON medical_records(doctorId);

CREATE INDEX medical_records_patientId ON medical_records(patientId);

CREATE INDEX medical_records_recordDate ON medical_records(recordDate);

CREATE INDEX medical_records_recordType ON medical_records(recordType);

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

CREATE INDEX patients_birthDate ON patients(birthDate);

CREATE INDEX patients_fullName ON patients(fullName);

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

CREATE TABLE sqlite_sequence(name,seq);

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

CREATE INDEX user_activity_log_timestamp ON user_activity_log(timestamp);

CREATE INDEX user_activity_log_userId ON user_activity_log(userId);

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
