// Package kith is the vocabulary of a library that gives a program both
// network shapes, client-server and peer-to-peer, from the same few parts.
//
// A contract is an ordinary package of descriptors that both sides import:
//
//	var Greet = kith.Unary[Name, Greeting]("greet/Greet", kith.Idempotent())
//	var Count = kith.ServerStream[int, int]("greet/Count")
//	var ErrUnknown = kith.NewError(kith.NotFound, "unknown_name", "nobody of that name")
//
// Whoever serves fills a [Handlers] by the descriptors' Handle methods and
// hands it to package server, client or peer: all three serve and call. Whoever
// calls uses the descriptors' Call methods with a [Caller]: a client, a peer, or
// inside a handler [CallerFrom], which calls back over the same connection.
//
// # Words
//
// Each word means one thing in all packages:
//
//   - key, id: the private and the public half of a node's identity
//   - transport: what makes conns; package transport has the contract
//   - conn: an authenticated connection between two ends
//   - stream: one ordered byte stream of a conn
//   - lane: the stream of a conn that carries control and small calls
//   - frame: the unit of bytes on a lane, a stream or a link
//   - link: the byte pipe under a conn that multiplexes by itself
//   - hello: the first frames of a conn, which settle who is admitted
//   - session: the engine that makes and serves calls on one conn
//   - method: a name, a kind, types and options; its Go value is the descriptor
//   - message: one value that travels in a call, encoded by a codec
//   - call: one use of a method; it has exactly one outcome
//   - outcome: the answer or the error that ends a call
//   - metadata, trailer: what travels beside messages, with the request and the outcome
//   - handler, middleware: what carries out calls, and what wraps it
//   - caller: what calls are made through
//   - peer: the other end, as it proved itself
//   - drain: to end without losing a call
package kith
