/// The causes that a node recognises, the most urgent first.
///
/// Raw values are the codes in JSON and metrics. They never change. `docs/OPERATIONS.md` has the table of codes, and a test compares
/// it with this type.
package enum FindingCode: String, Sendable, Hashable, CaseIterable {
    // This PC cannot do its work.
    case storeUnreadable
    case nodeNotRunning
    case portClosed
    case bookkeepingDamaged
    case diskFull
    case diskReadOnly
    case diskFailing
    case fileLocked
    case stateNotShown
    case duplicateIdentity
    case certificateExpired
    case backupWaits
    // The PC works; a person should act.
    case noHost
    case memberNotReached
    case discoveryUnavailable
    case multicastSilent
    case firewallActive
    case versionsDiffer
    case connectionsEnd
    case versionsMixed
    case fileLockedElsewhere
    case diskNearlyFull
    case diskSlow
    case logGrows
    case clockOff
    case clockUnsynchronised
    case certificateNearEnd
    case schemaDiffers
    case rowsSetAside
    case triggersMissing
    case inotifyLimit
    case fileLimit
    case backupOld
    case backupRefused
    case backupFollowed
    case bookkeepingRepaired
    case triggerFailed
    case permissionsTooWide
    case unsignedRows
    case logSetAside
    case memberLapsed

    /// How bad the cause is.
    package var state: Finding.State {
        switch self {
        case .storeUnreadable, .nodeNotRunning, .portClosed, .bookkeepingDamaged, .diskFull, .diskReadOnly,
            .diskFailing, .fileLocked, .stateNotShown, .duplicateIdentity, .certificateExpired, .backupWaits:
            .failed
        case .noHost, .memberNotReached, .discoveryUnavailable, .multicastSilent, .firewallActive, .versionsDiffer,
            .connectionsEnd, .versionsMixed, .fileLockedElsewhere, .diskNearlyFull, .diskSlow, .logGrows, .clockOff,
            .clockUnsynchronised, .certificateNearEnd, .schemaDiffers, .rowsSetAside, .triggersMissing, .inotifyLimit,
            .fileLimit, .backupOld, .backupRefused, .backupFollowed, .bookkeepingRepaired, .triggerFailed,
            .permissionsTooWide, .unsignedRows, .logSetAside, .memberLapsed:
            .warning
        }
    }

    /// Whether the log has a line of its own when the cause begins.
    package var isLoggedElsewhere: Bool {
        switch self {
        case .bookkeepingDamaged, .diskFull, .diskReadOnly, .diskFailing, .fileLocked, .duplicateIdentity, .backupWaits,
            .memberNotReached, .discoveryUnavailable, .versionsDiffer, .connectionsEnd, .diskSlow, .triggersMissing,
            .backupRefused, .backupFollowed, .bookkeepingRepaired, .triggerFailed, .permissionsTooWide, .logSetAside:
            true
        case .storeUnreadable, .nodeNotRunning, .portClosed, .stateNotShown, .certificateExpired, .noHost,
            .multicastSilent, .firewallActive, .versionsMixed, .fileLockedElsewhere, .diskNearlyFull, .logGrows,
            .clockOff, .clockUnsynchronised, .certificateNearEnd, .schemaDiffers, .rowsSetAside, .inotifyLimit,
            .fileLimit, .backupOld, .unsignedRows, .memberLapsed:
            false
        }
    }

    /// The cause in one sentence for the table of codes.
    package var meaning: String {
        switch self {
        case .backupOld: "The newest backup that was made on this PC is older than seven days."
        case .fileLimit: "The node has four fifths of the files open that it may have."
        case .inotifyLimit:
            "The account has no free instance or watch of inotify, so the node looks for changes every 5 ms."
        case .triggersMissing:
            "The node's triggers on a table were missing within the last day; the node has put them back."
        case .clockUnsynchronised: "No time service keeps this PC's clock right."
        case .logGrows:
            "The write-ahead log of `clinic.db` has more than 64 MB, because a program keeps a read transaction open."
        case .diskNearlyFull: "The disk has less than 256 MB left."
        case .versionsMixed: "Another member runs another version of the program."
        case .firewallActive: "A firewall is active on this PC, and a member is not reached."
        case .multicastSilent: "No other PC answers a question by multicast, although other PCs are connected."
        case .discoveryUnavailable: "Nodes cannot be looked for on the LAN, and a PC is missing."
        case .memberNotReached:
            "The host, or a PC that looks for a host, has no connection with a member; the finding has the tried addresses and each one's answer."
        case .portClosed: "The node runs, and its port for other nodes does not accept a connection."
        case .nodeNotRunning: "The node of this directory does not run."
        case .storeUnreadable: "The node cannot read `clinic.db`."
        case .bookkeepingDamaged: "A part of `clinic.db` is damaged, and the node cannot repair it."
        case .diskFull: "A write found no room on the disk, or the account's share of the disk is used up."
        case .diskReadOnly: "The file or its file system takes no writes; Linux does so after errors of the disk."
        case .diskFailing: "The disk reports errors when the node reads, writes or syncs."
        case .fileLocked:
            "A program on this PC has kept a write transaction in `clinic.db` open for three seconds or more."
        case .stateNotShown: "All rows of the clinic have arrived, and this PC cannot show them."
        case .duplicateIdentity: "Two PCs run with the key of one node: a disk or a directory was copied."
        case .certificateExpired:
            "This PC's certificate has ended, so the other PCs accept only its request for a new one."
        case .backupWaits: "The whole clinic was brought back to a backup, and a program keeps this PC from following."
        case .noHost: "This PC has been connected with no host for ten seconds or more."
        case .versionsDiffer: "Two PCs have versions that cannot talk to each other."
        case .connectionsEnd:
            "Connections with a PC end again and again for a reason that a new connection does not change."
        case .fileLockedElsewhere: "A program on another PC keeps that PC's `clinic.db` locked."
        case .diskSlow: "Syncs of two seconds or more follow one another for six seconds, or one takes that long."
        case .clockOff: "This PC's clock differs from the host's by two seconds or more."
        case .certificateNearEnd: "This PC's certificate ends within five days, and renewing it has not succeeded."
        case .schemaDiffers: "A table or column of the clinic is missing in the database of a PC, or does not fit."
        case .rowsSetAside: "Rows cannot be shown in their table on this PC; the other rows go on."
        case .backupRefused:
            "A peer says that the clinic was brought back to a backup, and this PC does not believe it."
        case .backupFollowed: "The whole clinic was brought back to a backup, and this PC has followed."
        case .bookkeepingRepaired: "The node found damage in its own tables; the clinic's rows are not affected."
        case .triggerFailed: "A trigger that a program added failed for rows of other PCs; the rows are there."
        case .permissionsTooWide: "Every account of this PC may use the node's files."
        case .unsignedRows: "The tables of the nodes have rows about members that nobody signed; nodes ignore them."
        case .logSetAside: "A write-ahead log beside `clinic.db` did not belong to it, and was set aside."
        case .memberLapsed: "A member was silent for 30 days, so nothing waits for it any more."
        }
    }

    /// What to do, in one sentence; a finding may know better.
    package var remedy: String {
        switch self {
        case .backupOld: "Make one with 'clinic-node backup FILE', and look at what makes the daily backups."
        case .fileLimit: "Raise LimitNOFILE of the service, or 'ulimit -n', and start the node again."
        case .inotifyLimit: "Set 'sysctl fs.inotify.max_user_instances=1024' and 'fs.inotify.max_user_watches=524288'."
        case .triggersMissing:
            "Find the program that drops triggers or makes the table again; rows that it wrote meanwhile are captured."
        case .clockUnsynchronised: "Run 'timedatectl set-ntp true', or install chrony."
        case .logGrows: "Close that program, or let it end its transaction; the log begins again by itself."
        case .diskNearlyFull: "Free some space, for example old backups and .set-aside- files that nobody needs."
        case .versionsMixed: "Update the older of the two PCs."
        case .firewallActive:
            "Open TCP port 7450 and UDP port 5353 to the LAN, for example 'ufw allow 7450/tcp' and 'ufw allow mdns'."
        case .multicastSilent:
            "Allow UDP port 5353 in the firewalls ('ufw allow mdns'), switch off client isolation in the Wi-Fi, or name an address with --peer."
        case .discoveryUnavailable: "Run 'systemctl enable --now avahi-daemon', or name an address with --peer."
        case .memberNotReached:
            "Switch that PC on, check its cable or Wi-Fi, and that its node runs ('clinic-node doctor' there)."
        case .portClosed: "Read the node's log, and start the node again."
        case .nodeNotRunning: "Start it with 'clinic-node run', or 'systemctl start clinic-node'."
        case .storeUnreadable: "Read the node's log, check the disk with 'smartctl -a', and start the node again."
        case .bookkeepingDamaged:
            "Stop the node, check the disk with 'smartctl -a', then restore a backup or join again into a new directory."
        case .diskFull:
            "Free some space, for example old backups and .set-aside- files that nobody needs; the node goes on by itself."
        case .diskReadOnly:
            "Check the permissions of clinic.db and its directory, then 'dmesg' and the disk with 'smartctl -a'."
        case .diskFailing: "Check the disk with 'smartctl -a'; replace it, and let this PC join again."
        case .fileLocked: "Save or discard the changes in that program, or close it; the node goes on by itself."
        case .stateNotShown: "Do what the reason says; the node tries again by itself."
        case .duplicateIdentity: "Stop one of the two PCs, delete its directory, and let it join again."
        case .certificateExpired:
            "Start a PC that may sign ('clinic-node nodes', column SIGNS), and check that this PC's clock is right."
        case .backupWaits: "Close the programs that have clinic.db open; the node follows by itself."
        case .noHost: "Check the cable or Wi-Fi, that another PC runs, and the ports with 'clinic-node doctor'."
        case .versionsDiffer: "Update the older of the two PCs."
        case .connectionsEnd: "Read the logs of both PCs, update the older one, or let it join again."
        case .fileLockedElsewhere: "Run 'clinic-node status' on that PC, which names the program."
        case .diskSlow:
            "Look with 'iostat -x 1' for a program that writes much, and check the disk with 'smartctl -a'."
        case .clockOff: "Set the clock, for example with 'timedatectl set-ntp true'."
        case .certificateNearEnd:
            "Start a PC that may sign ('clinic-node nodes', column SIGNS), and check that this PC's clock is right."
        case .schemaDiffers:
            "Bring the clinic's program to the same version on all PCs, or put the table or column back."
        case .rowsSetAside: "Do what the reason says; the rows appear by themselves afterwards."
        case .backupRefused: "Look at the PC that connects: somebody may have forged the statement."
        case .backupFollowed: "Delete the former database when nobody misses anything that was entered in it."
        case .bookkeepingRepaired:
            "Nothing once; if it comes back, check the disk with 'smartctl -a' and find the program that writes these tables."
        case .triggerFailed: "Rebuild in that program what the trigger keeps, for example a full-text index."
        case .permissionsTooWide: "Run the chmod command that the finding names, and share files by a group."
        case .unsignedRows:
            "If the finding stays for minutes, find the program that writes the nodes' tables, or revoke its PC."
        case .logSetAside: "Delete the set-aside file when nobody misses its last changes."
        case .memberLapsed:
            "Start that PC, which catches up by itself, or revoke it with 'clinic-node nodes revoke' if it is gone for good."
        }
    }
}
