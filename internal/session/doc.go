// Package session makes and serves calls on one connection. Both ends run the
// same engine: either calls, either serves.
//
// The connection's first stream, the lane, carries hello, control and all small
// unary calls, one frame each way (docs/wire.md). Large messages and streaming
// calls take a stream of their own. On a connection of internal/mux the lane's
// bytes come and go through a private interface, without a goroutine between,
// also where the connection is wrapped and lets us see that.
//
// # Goroutines
//
// An idle session parks the goroutine that reads the lane (the mux's own where
// we see one), and one more that accepts streams where that does not hand them
// over: on other transports, and on a connection that is wrapped. While
// frames wait to be sent there is a flusher; whoever appends a frame starts it
// if there is none, so that no caller is ever stuck in a write. Handlers of lane
// calls run on [Workers], handlers of stream calls on a goroutine per stream.
// [Session.Close] ends and joins all but the handlers, whose ctx it cancels.
//
// # Locks
//
// Session.mu guards what goes out: the lane's buffer and the calls made. It is
// held for the time of appending one frame, and while it is held nothing
// blocks. inbox.mu guards the calls being served. They are never held together.
// openCtx.mu is taken before Session.mu. Workers.mu, which guards the calls that
// wait for a worker, and callCtx.mu are the innermost: nothing is locked in them.
package session
