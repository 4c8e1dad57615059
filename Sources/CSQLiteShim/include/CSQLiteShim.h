#ifndef CSQLITESHIM_H
#define CSQLITESHIM_H

#include <sqlite3.h>

// sqlite3_db_config is variadic and so cannot be called from Swift.

/// Switches all triggers of a connection off (0) or on (1), for that connection alone. Returns an SQLite result code.
int clinicsync_enable_triggers(sqlite3 *connection, int enabled);

#endif
