// Package server accepts connections, admits who is on the other side, and
// runs handlers for their calls, within limits.
//
// Fill a [kith.Handlers], say who may call, and serve it over any transport,
// or over several at once:
//
//	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Pins(alice, bob)})
//	err = srv.ListenAndServe(ctx, tcp.New(tcp.Config{Key: key}), ":4433")
//
// ListenAndServe blocks until ctx ends or the server does. To know the address
// before anybody connects, after ":0" say, listen first and serve then:
//
//	l, err := tr.Listen(ctx, transport.Addr{Host: ":0"})
//	fmt.Println(l.Addr()) // what clients dial; it carries the server's ID
//	err = srv.Serve(ctx, l)
//
// # Who is let in
//
// Config.Admit decides, once per connection. Without one, only clients are
// let in whose certificate a CA of the transport has verified; over a listener
// that verifies none, Serve fails with [admit.ErrNoPolicy]. What admitted
// clients may call is up to middleware: [Access], [AccessIDs], [AccessGroup].
//
// # Limits
//
// Every limit has a default that holds in production, and what exceeds it is
// refused at once, so that a client can go elsewhere: a call over
// Config.MaxCalls and a connection over Config.MaxConns with
// [kith.ResourceExhausted], marked as [kith.Unprocessed]; a connection over
// Config.MaxPending by closing it with that code. A peer that says nothing has
// Config.HelloTimeout to do so. A slow or stuck handler, and a client that does
// not read its answers, hold up nobody else.
//
// # Ending
//
// [Server.Shutdown] loses no call: clients learn to make no more, what they
// made is served, and each connection closes when its client holds every
// outcome. Calls that come too late fail as Unprocessed on the client's side,
// and go elsewhere. [Server.Close] ends everything now. Handlers that go on for
// long should watch [kith.Draining]. Both leave transports open: whoever made
// one closes it, after Shutdown, and a successor can listen at the same address
// then.
package server
