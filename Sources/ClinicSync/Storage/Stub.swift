import GRDB
import GRDBSQLite
enum StubStorage {}
