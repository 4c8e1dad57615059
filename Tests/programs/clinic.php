<?php
// A clinic's program with PHP's PDO. Usage: php clinic.php FILE COMMAND [ARGUMENT]
declare(strict_types=1);

[, $file, $command] = $argv;
$argument = $argv[3] ?? '';
// PDO waits 60 seconds for a lock. execute() binds each value as text, numbers too.
$db = new PDO('sqlite:' . $file, null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$db->exec('PRAGMA foreign_keys = ON');
const NOW = '2026-11-27T08:00:00Z';

function run(PDO $db, string $sql, array $values = []): PDOStatement
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement;
}

function transaction(PDO $db, callable $body): void
{
    $db->exec('BEGIN IMMEDIATE');
    try {
        $body();
        $db->exec('COMMIT');
    } catch (Throwable $error) {
        $db->exec('ROLLBACK');
        throw $error;
    }
}

/** Returns the key of the new row. A statement that is not read to its end would keep the transaction open. */
function insert(PDO $db, string $sql, array $values): string
{
    $statement = run($db, $sql . ' RETURNING id', $values);
    return $statement->fetchAll(PDO::FETCH_COLUMN)[0];
}

/** A patient comes, waits, and pays. */
function visit(PDO $db, string $name): void
{
    $patient = insert($db, "INSERT INTO patients(fullName, contactNumber, createdAt) VALUES(?, ' 0917-555 01 ', ?)", [$name, NOW]);
    $number = run($db, 'SELECT coalesce(max(queueNumber), 0) + 1 FROM active_patient_queue')->fetchAll(PDO::FETCH_COLUMN)[0];
    run($db, "INSERT INTO active_patient_queue(patientId, patientName, arrivalTime, queueNumber, status, createdAt)
        VALUES(?, ?, ?, ?, 'waiting', ?)", [$patient, $name, NOW, $number, NOW]);
    run($db, "UPDATE clinic_services SET selectionCount = selectionCount + ? WHERE id = 'service-urinalysis'", [1]);
    $bill = insert($db, "INSERT INTO patient_bills(patientId, invoiceNumber, billDate, totalAmount, status)
        VALUES(?, ?, ?, ?, 'Paid')", [$patient, 'INV ' . $name, NOW, 300.5]);
    for ($line = 0; $line < 2; $line++) {
        run($db, "INSERT INTO bill_items(billId, serviceId, description, quantity, unitPrice, itemTotal)
            VALUES(?, 'service-urinalysis', 'Urinalysis', ?, ?, ?)", [$bill, 1, 150.25, 150.25]);
    }
    run($db, "INSERT INTO payments(billId, patientId, patientName, referenceNumber, paymentDate, amountPaid, paymentMethod,
        receivedByUserId) VALUES(?, ?, ?, ?, ?, ?, 'cash', 'u1')", [$bill, $patient, $name, 'REF ' . $name, NOW, 300.5]);
}

/** The recipe of SQLite's manual for changes that ALTER TABLE cannot make. */
function rebuild(PDO $db, string $table): void
{
    $definition = run($db, "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", [$table])->fetchAll(PDO::FETCH_COLUMN)[0];
    $indexes = run($db, "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", [$table])
        ->fetchAll(PDO::FETCH_COLUMN);
    $columns = implode(', ', run($db, "SELECT name FROM pragma_table_info('$table')")->fetchAll(PDO::FETCH_COLUMN));
    $db->exec(preg_replace("/$table/", "new_$table", $definition, 1));
    $db->exec("INSERT INTO new_$table($columns) SELECT $columns FROM $table");
    $db->exec("DROP TABLE $table");
    $db->exec("ALTER TABLE new_$table RENAME TO $table");
    foreach ($indexes as $index) {
        $db->exec($index);
    }
}

/** A migration of data: telephone numbers become digits. */
function clean(PDO $db): void
{
    foreach (run($db, 'SELECT id, contactNumber FROM patients')->fetchAll(PDO::FETCH_NUM) as [$id, $number]) {
        run($db, 'UPDATE patients SET contactNumber = ? WHERE id = ?', [preg_replace('/\D/', '', $number), $id]);
    }
}

switch ($command) {
    case 'visit':
        transaction($db, fn () => visit($db, $argument));
        break;
    case 'upgrade':
        $db->exec('PRAGMA foreign_keys = OFF');
        transaction($db, function () use ($db) {
            rebuild($db, 'appointments');
            rebuild($db, 'patients');
            clean($db);
            $db->exec('PRAGMA user_version = 2');
        });
        break;
    case 'login':
        run($db, "INSERT INTO user_sessions(userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
            VALUES('u1', 'ana', 'php', ?, ?, ?, 'x')", [date(DATE_ATOM), date(DATE_ATOM), time() + 3600]);
        break;
    case 'logout':
        // PDO makes the empty text of false.
        run($db, "UPDATE user_sessions SET isActive = ? WHERE deviceId = 'php'", [false]);
        break;
    case 'names':
        echo json_encode(run($db, 'SELECT fullName FROM patients ORDER BY fullName')->fetchAll(PDO::FETCH_COLUMN));
        break;
    default:
        fwrite(STDERR, "There is no command $command.\n");
        exit(64);
}
