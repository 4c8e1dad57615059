// A clinic's program with Node's own SQLite. Usage: node clinic.mjs FILE COMMAND [ARGUMENT]
import { DatabaseSync } from "node:sqlite";

const [file, command, argument] = process.argv.slice(2);
// Without a timeout a program of Node's fails at once when another program writes. Foreign keys are on from the start.
const db = new DatabaseSync(file, { timeout: 30_000 });
const now = "2026-11-27T08:00:00Z";

const run = (sql, ...values) => db.prepare(sql).run(...values);
const all = (sql, ...values) => db.prepare(sql).all(...values);

function transaction(body) {
  db.exec("BEGIN IMMEDIATE");
  try {
    body();
    db.exec("COMMIT");
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

// A patient comes, waits, and pays.
function visit(name) {
  const [{ id: patient }] = all(
    "INSERT INTO patients(fullName, contactNumber, createdAt) VALUES(?, ' 0917-555 01 ', ?) RETURNING id", name, now);
  const [{ number }] = all("SELECT coalesce(max(queueNumber), 0) + 1 AS number FROM active_patient_queue");
  run(`INSERT INTO active_patient_queue(patientId, patientName, arrivalTime, queueNumber, status, createdAt)
    VALUES(?, ?, ?, ?, 'waiting', ?)`, patient, name, now, number, now);
  run("UPDATE clinic_services SET selectionCount = selectionCount + ? WHERE id = 'service-urinalysis'", 1);
  const [{ id: bill }] = all(`INSERT INTO patient_bills(patientId, invoiceNumber, billDate, totalAmount, status)
    VALUES(?, ?, ?, ?, 'Paid') RETURNING id`, patient, "INV " + name, now, 300.5);
  for (const line of [1, 2]) {
    run(`INSERT INTO bill_items(billId, serviceId, description, quantity, unitPrice, itemTotal)
      VALUES(?, 'service-urinalysis', ?, ?, ?, ?)`, bill, "Urinalysis " + line, 1, 150.25, 150.25);
  }
  run(`INSERT INTO payments(billId, patientId, patientName, referenceNumber, paymentDate, amountPaid, paymentMethod,
    receivedByUserId) VALUES(?, ?, ?, ?, ?, ?, 'cash', 'u1')`, bill, patient, name, "REF " + name, now, 300.5);
}

// The recipe of SQLite's manual for changes that ALTER TABLE cannot make.
function rebuild(table) {
  const [{ sql }] = all("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table);
  const indexes = all("SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", table);
  const columns = all(`PRAGMA table_info(${table})`).map((column) => column.name).join(", ");
  db.exec(sql.replace(table, "new_" + table));
  db.exec(`INSERT INTO new_${table}(${columns}) SELECT ${columns} FROM ${table}`);
  db.exec(`DROP TABLE ${table}`);
  db.exec(`ALTER TABLE new_${table} RENAME TO ${table}`);
  for (const index of indexes) db.exec(index.sql);
}

// A migration of data: telephone numbers become digits.
function clean() {
  for (const { id, contactNumber } of all("SELECT id, contactNumber FROM patients")) {
    run("UPDATE patients SET contactNumber = ? WHERE id = ?", contactNumber.replace(/\D/g, ""), id);
  }
}

const commands = {
  visit: () => transaction(() => visit(argument)),
  upgrade: () => {
    db.exec("PRAGMA foreign_keys = OFF");
    transaction(() => {
      rebuild("appointments");
      rebuild("patients");
      clean();
      db.exec("PRAGMA user_version = 2");
    });
  },
  login: () =>
    run(`INSERT INTO user_sessions(userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
      VALUES('u1', 'ana', 'node', ?, ?, ?, 'x')`, Date.now(), Date.now(), Date.now() + 3_600_000),
  logout: () => run("UPDATE user_sessions SET isActive = ? WHERE deviceId = 'node'", String(false)),
  names: () => console.log(JSON.stringify(all("SELECT fullName FROM patients ORDER BY fullName").map((row) => row.fullName))),
};
commands[command]();
db.close();
