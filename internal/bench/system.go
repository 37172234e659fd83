package main

import "context"

// A system is one way to make calls or to move bytes that is measured: kith over
// a transport, another library, or the bare connection that both are held against.
type system struct {
	name string // as in the tables: "grpc-tls"
	what string // one line for the legend: what is used, and how it is set up
	path string // the module it comes from, for its version; empty for the standard library

	// callers is how many goroutines may call at once on one connection: 1 for a bare
	// ping-pong, 0 for any number.
	callers int

	// local systems cannot have client and server in two processes.
	local bool

	// serve starts a server at a loopback address of the system's choice, or at addr
	// if that is not empty (host:port; the link workload listens in a namespace).
	serve func(addr string) (server, error)

	// dial connects to a server, which may be in another process. It returns when the
	// next call needs no more round trips than any other.
	dial func(ctx context.Context, addr string) (client, error)

	// lazy, if not nil, takes the place of dial where a connection's first call is
	// measured: the client that it returns connects with that call, and saves what
	// waiting between the two would cost.
	lazy func(addr string) (client, error)

	// prepare, if not nil, makes what n clients need before they connect and share with
	// later ones, so that it does not count where a connection's price is measured.
	prepare func(n int) error

	// end, if not nil, gives back what the clients shared. It is called when all of
	// them are closed.
	end func() error
}

// A server echoes calls, takes streams, and is closed once.
type server interface {
	// Addr is what dial takes.
	Addr() string
	Close() error
}

// A client is one connection. Call may be called from as many goroutines as
// system.callers says.
//
// A client that can do more implements streamer or typed too.
type client interface {
	// Call sends req and returns the same bytes, as they came back. The answer belongs
	// to the caller if the system's own API gives it to him; a bare connection may
	// return a slice that the goroutine's next call overwrites. ctx can be cancelled and
	// has a deadline; what a system can make of it, it makes of it.
	Call(ctx context.Context, req []byte) ([]byte, error)
	Close() error
}

// A streamer moves messages one way.
type streamer interface {
	// Send sends msg n times on one stream and returns when the server has said that
	// it has taken all of them.
	Send(ctx context.Context, msg []byte, n int) error
}

// A typed client sends a small struct, encoded as its system does that: JSON or
// protobuf. The server answers with a struct of the same values.
type typed interface {
	CallTyped(ctx context.Context, in *item) (*item, error)
}

// An item is the small struct of the typed workload.
type item struct {
	ID     uint64   `json:"id"`
	Name   string   `json:"name"`
	Score  float64  `json:"score"`
	Tags   []string `json:"tags"`
	Active bool     `json:"active"`
}
