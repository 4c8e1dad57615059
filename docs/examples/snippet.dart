// A Flutter or Dart program. It gets events over the WebSocket, and reads the SQLite file after each event.
//
// It needs package:sqlite3. `directory` is the directory of the node on this PC.
import 'dart:convert';
import 'dart:io';

import 'package:sqlite3/sqlite3.dart';

Future<void> main(List<String> arguments) async {
  final directory = arguments.first;
  int? position;
  refresh(directory);
  while (true) {
    try {
      // Read the file each time: after a restart the port may be different.
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
        // Only events have a category. `resync_required` is an event too, and means: read everything again.
        if (message.containsKey('category')) refresh(directory);
      }
    } on Exception {
      // The node restarts. Programs can read and write the file meanwhile.
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

/// Logs in and returns the session's id, which `session_ended` events name.
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
    // 409: the user is logged in on the PC named in body['sessions']. Ask the person, then call again with force.
    if (response.statusCode != 201) throw HttpException('${body['message']}');
    return (body['session'] as Map<String, dynamic>)['id'] as String;
  } finally {
    client.close();
  }
}
