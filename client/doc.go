// Package client keeps a program connected to a server, and makes calls.
//
//	c, err := client.Dial(ctx, client.Config{
//		Transport: tcp.New(tcp.Config{Key: key}),
//		Addrs:     []string{"tcp://" + serverID + "@host:4433"},
//	})
//	greeting, err := greetapi.Greet.Call(ctx, c, greetapi.Name{Name: "Ada"})
//
// A [Client] is a [kith.Caller] that stays good: it has one connection at a
// time, and makes a new one when that is lost. [Dial] returns once the server
// has admitted this side; [New] connects with the first call. If the method of
// that is [kith.Idempotent], it follows the connection's first words in the same
// flight; others wait for the answer to those, so that none is in doubt if the
// server is about to hang up.
//
// # Connections
//
// All callers share one attempt to connect. It belongs to the client: a caller
// whose ctx ends leaves at once, and the attempt goes on for the others. Addresses
// are tried in turn, the one that worked last first; once all have failed, a
// pause follows that doubles each time and is drawn at random (full jitter), so
// that a thousand clients do not come back in the same instant. It is short
// again after a connection that lasted ten seconds.
//
// A call that finds no connection waits while an attempt is under way, and
// fails with a [*DialError] when every address has failed: the error tells when
// each was tried and why it failed. During the pause that follows, calls fail
// with the same error at once. A call with [kith.WaitForReady] waits until its
// ctx ends, unless all servers refuse this client: that no waiting changes.
//
// Whatever the transport checks by itself, the client compares the identity in
// the address with the one that the other side proved.
//
// # Retries
//
// A call whose connection takes no more calls, since it was lost or the server
// drains, moves to another connection without the caller noticing, if it has not
// been sent. Beyond that a call is tried again in two cases only: the server
// turned it away for want of capacity, before its handler ran; or the connection
// was lost under it and its method is [kith.Idempotent]. Retries of these two
// kinds are limited to a fifth of all calls and ten a second. Each call is tried
// three times at most, where moves count too unless it is to wait for ready. Any
// other call whose connection is lost has an unknown fate, and its error says so:
// [kith.Unprocessed] and [kith.Remote] are false. A streaming call is tried again
// only until it is open.
//
// # Being called
//
// A client with Handlers serves the server's calls over the connection that it
// dialled. Once connected it reconnects by itself, and keeps an idle connection.
// Any other client gives an idle connection up, and reconnects with the next call.
//
// # Middleware
//
// Middleware has one shape on both sides, [kith.Middleware]. Here the innermost
// handler brings the call to the server, choosing a connection and trying again,
// and returns when the call is over: for a streaming call, when the caller has
// received the last message or the error, has closed it, or its ctx has ended.
// The error that middleware gets from next, and returns, is the caller's for
// unary calls and for streaming calls that could not be opened; an open stream
// has its outcome in its messages.
//
// Middleware that puts its own [kith.Messages] in place of the call's, around
// those it got, before it calls next, sees every message: the application sends
// through it, and receives through it. Metadata may be replaced, by a changed
// copy, in the same way. For streaming calls middleware runs on a goroutine of
// its own, which [Client.Close] waits for: it must return soon after next has
// returned, and must not call Close itself. The ctx that it hands on must be
// derived from the one that it got.
package client
