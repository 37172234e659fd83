package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/fileserver/filestore"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// A setup is what the flags of serve come to.
type setup struct {
	addrs []transport.Addr
	key   *kith.Key
	ids   []kith.ID // of those who are let in
}

// setup checks the flags of serve, and reads the files that they name.
func (o *options) setup() (s setup, err error) {
	if o.dir == "" {
		return s, usagef("serve: no -dir")
	}
	if info, err := os.Stat(o.dir); err != nil || !info.IsDir() {
		return s, usagef("serve: -dir %s is not a directory", o.dir)
	}
	if s.addrs, err = parseAddrs(o.listen); err != nil {
		return s, usagef("serve: -listen: %v", err)
	}
	if s.ids, err = parseAllow(o.dir, o.allow); err != nil {
		return s, err
	}
	file := orDefault(o.key, "server.key")
	if err := outside(o.dir, file); err != nil {
		return s, usagef("serve: -key: %v", err)
	}
	s.key, err = kith.LoadKey(file)
	return s, err
}

// serve is the command of that name.
func (p *program) serve(ctx context.Context, _ []string) error {
	o := &p.opts
	set, err := o.setup()
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if o.quiet {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
	store, err := filestore.Open(o.dir, filestore.Config{
		MaxSize: int64(o.maxSize), Rescan: o.rescan, Keep: o.keep, Logger: log,
	})
	if err != nil {
		return err
	}
	var h kith.Handlers
	h.Use(server.Log(log))
	store.Register(&h)
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Pins(set.ids...), Logger: log})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	transports := newTransports(set.key, log)
	listeners, err := listen(ctx, transports, set.addrs)
	for _, l := range listeners {
		err = errors.Join(err, p.print("%s", l.Addr()))
	}
	if err == nil {
		s := &serving{srv: srv, log: log, ended: make(chan error, len(listeners))}
		err = s.serve(ctx, listeners, o.grace)
	}
	return errors.Join(err, srv.Close(), transports.Close(), store.Close())
}

// newTransports returns what listens, or dials, with a key.
func newTransports(key *kith.Key, log *slog.Logger) transport.Router {
	return transport.Router{
		quic.Scheme: quic.New(quic.Config{Key: key, Logger: log}),
		tcp.Scheme:  tcp.New(tcp.Config{Key: key, Logger: log}),
	}
}

// parseAddrs reads addresses with commas between them.
func parseAddrs(text string) ([]transport.Addr, error) {
	var addrs []transport.Addr
	for part := range strings.SplitSeq(text, ",") {
		a, err := transport.ParseAddr(part)
		if err != nil {
			return nil, err
		}
		if a.Scheme != quic.Scheme && a.Scheme != tcp.Scheme {
			return nil, fmt.Errorf("address %s: want quic:// or tcp://", a)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// listen listens at all addresses, or fails.
func listen(ctx context.Context, t transport.Transport, addrs []transport.Addr) ([]transport.Listener, error) {
	var all []transport.Listener
	for _, a := range addrs {
		l, err := t.Listen(ctx, a)
		if err != nil {
			return nil, err // the transport closes the others
		}
		all = append(all, l)
	}
	return all, nil
}

// A serving is a server at several listeners.
type serving struct {
	srv   *server.Server
	log   *slog.Logger
	ended chan error // has room for what all serveLoops send
	loops sync.WaitGroup
}

// serve serves until ctx ends, and then until the calls under way have ended,
// or the grace is over.
func (s *serving) serve(ctx context.Context, listeners []transport.Listener, grace time.Duration) error {
	for _, l := range listeners {
		s.loops.Add(1)
		go s.serveLoop(l)
	}
	var err error
	select {
	case <-ctx.Done():
		s.log.Info("ending; a second signal ends at once", slog.Duration("grace", grace))
	case err = <-s.ended: // none of them should
	}
	limit, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := s.srv.Shutdown(limit); err != nil {
		s.log.Warn("calls were cut; clients go on when there is a server again", slog.String("err", err.Error()))
	}
	s.loops.Wait()
	return err
}

// serveLoop serves one listener. It ends with the server; serve waits for it.
func (s *serving) serveLoop(l transport.Listener) {
	defer s.loops.Done()
	s.ended <- s.srv.Serve(context.Background(), l)
}
