// A Flutter or Dart program: follows changes over the WebSocket and reads the SQLite file when one came.
//
// Needs package:sqlite3. `directory` is that of the node on this PC.
import 'dart:convert';
import 'dart:io';

import 'package:sqlite3/sqlite3.dart';

Future<void> main(List<String> arguments) async {
  final directory = arguments.first;
  int? position;
  refresh(directory);
  while (true) {
    try {
      // Read each time: after a restart the port may be another.
      final place = jsonDecode(File('$directory/run/api.json').readAsStringSync());
      final token = File('$directory/api.token').readAsStringSync().trim();
      final socket = await WebSocket.connect(
        'ws://${place['host']}:${place['port']}/ws',
        headers: {'Authorization': 'Bearer $token'},
      );
      socket.add(jsonEncode({
        'type': 'subscribe',
        'categories': ['patient', 'billing'],
        if (position != null) 'since': position,
      }));
      await for (final text in socket) {
        final message = jsonDecode(text as String) as Map<String, dynamic>;
        if (message['position'] is int) position = message['position'] as int;
        // `subscribed`, `pong` and the like have no category; `resync_required` has, and means: read everything.
        if (message.containsKey('category')) refresh(directory);
      }
    } on Exception {
      // The node restarts; the file can be read and written meanwhile.
    }
    await Future<void>.delayed(const Duration(seconds: 1));
  }
}

void refresh(String directory) {
  final database = sqlite3.open('$directory/clinic.db', mode: OpenMode.readOnly);
  try {
    database.execute('PRAGMA busy_timeout = 5000');
    print('${database.select('SELECT count(*) AS n FROM patients').first['n']} patients');
  } finally {
    database.dispose();
  }
}

/// Logs in; the session's id, which `session_ended` events name.
Future<String> login(Uri node, String token, String user, String password, {bool force = false}) async {
  final client = HttpClient();
  try {
    final request = await client.postUrl(node.resolve('/v1/sessions'));
    request.headers
      ..set('Authorization', 'Bearer $token')
      ..contentType = ContentType.json;
    request.write(jsonEncode({
      'username': user,
      'password': password,
      'deviceName': Platform.localHostname,
      'force': force,
    }));
    final response = await request.close();
    final body = jsonDecode(await utf8.decodeStream(response)) as Map<String, dynamic>;
    // 409: logged in on another PC, named in body['sessions']; ask the person, then call again with force.
    if (response.statusCode != 201) throw HttpException('${body['message']}');
    return (body['session'] as Map<String, dynamic>)['id'] as String;
  } finally {
    client.close();
  }
}
