#!/usr/bin/perl -CA
# A clinic's program with Perl's DBI and DBD::SQLite. Usage: perl -CA clinic.pl FILE COMMAND [ARGUMENT]
use strict;
use warnings;
use utf8;
use DBI;
use JSON::PP;

my ($file, $command, $argument) = @ARGV;
# DBD::SQLite binds each value as text, numbers too.
my $db = DBI->connect("dbi:SQLite:dbname=$file", "", "", { RaiseError => 1, PrintError => 0, sqlite_unicode => 1 });
$db->sqlite_busy_timeout(30_000);
$db->do("PRAGMA foreign_keys = ON");
my $now = "2026-11-27T08:00:00Z";

sub transaction {
    my ($body) = @_;
    $db->do("BEGIN IMMEDIATE");
    eval { $body->(); 1 } or do { my $error = $@; $db->do("ROLLBACK"); die $error; };
    $db->do("COMMIT");
}

# A patient comes, waits, and pays.
sub visit {
    my ($name) = @_;
    my ($patient) = $db->selectrow_array(
        "INSERT INTO patients(fullName, contactNumber, createdAt) VALUES(?, ' 0917-555 01 ', ?) RETURNING id",
        {}, $name, $now);
    my ($number) = $db->selectrow_array("SELECT coalesce(max(queueNumber), 0) + 1 FROM active_patient_queue");
    $db->do("INSERT INTO active_patient_queue(patientId, patientName, arrivalTime, queueNumber, status, createdAt)
        VALUES(?, ?, ?, ?, 'waiting', ?)", {}, $patient, $name, $now, $number, $now);
    $db->do("UPDATE clinic_services SET selectionCount = selectionCount + ? WHERE id = 'service-urinalysis'", {}, 1);
    my ($bill) = $db->selectrow_array(
        "INSERT INTO patient_bills(patientId, invoiceNumber, billDate, totalAmount, status)
        VALUES(?, ?, ?, ?, 'Paid') RETURNING id", {}, $patient, "INV $name", $now, "300.5");
    my $item = $db->prepare("INSERT INTO bill_items(billId, serviceId, description, quantity, unitPrice, itemTotal)
        VALUES(?, 'service-urinalysis', ?, ?, ?, ?)");
    $item->execute($bill, "Urinalysis", $_, "150.25", "150.25") for 1, 1;
    $db->do("INSERT INTO payments(billId, patientId, patientName, referenceNumber, paymentDate, amountPaid, paymentMethod,
        receivedByUserId) VALUES(?, ?, ?, ?, ?, ?, 'cash', 'u1')", {}, $bill, $patient, $name, "REF $name", $now, "300.5");
}

# The recipe of SQLite's manual for changes that ALTER TABLE cannot make.
sub rebuild {
    my ($table) = @_;
    my ($definition) = $db->selectrow_array("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", {}, $table);
    my $indexes = $db->selectcol_arrayref(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", {}, $table);
    my $columns = join ", ", map { $_->[1] } @{ $db->selectall_arrayref("PRAGMA table_info($table)") };
    $definition =~ s/$table/new_$table/;
    $db->do($_) for $definition, "INSERT INTO new_$table($columns) SELECT $columns FROM $table", "DROP TABLE $table",
        "ALTER TABLE new_$table RENAME TO $table", @$indexes;
}

# A migration of data: telephone numbers become digits.
sub clean {
    my $update = $db->prepare("UPDATE patients SET contactNumber = ? WHERE id = ?");
    for my $row (@{ $db->selectall_arrayref("SELECT id, contactNumber FROM patients") }) {
        (my $digits = $row->[1] // "") =~ s/\D//g;
        $update->execute($digits, $row->[0]);
    }
}

if ($command eq "visit") {
    transaction(sub { visit($argument) });
} elsif ($command eq "upgrade") {
    $db->do("PRAGMA foreign_keys = OFF");
    transaction(sub { clean(); rebuild("appointments"); rebuild("patients"); $db->do("PRAGMA user_version = 2") });
} elsif ($command eq "login") {
    # Perl's own time is in seconds.
    $db->do("INSERT INTO user_sessions(userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
        VALUES('u1', 'ana', 'perl', ?, ?, ?, 'x')", {}, time, time, time + 3600);
} elsif ($command eq "logout") {
    # Perl's "false" is the empty text.
    $db->do("UPDATE user_sessions SET isActive = ? WHERE deviceId = 'perl'", {}, 1 == 0);
} elsif ($command eq "names") {
    print JSON::PP->new->ascii->encode($db->selectcol_arrayref("SELECT fullName FROM patients ORDER BY fullName"));
} else {
    die "There is no command $command.\n";
}
$db->disconnect;
