package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/static"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

const (
	// network keeps these nodes apart from those of other programs with the same key.
	network = "kith/examples/share"
	// maxNodes is how many nodes ls and get connect to by themselves.
	maxNodes = 256
	// maxCalls bounds what is read and sent at a time: a call holds a chunk.
	maxCalls = 64
	// Who says nothing for silence is dead.
	ping, silence = 2 * time.Second, 8 * time.Second
	leaveTime     = 3 * time.Second
)

// A guest is a node that calls and offers nothing: ls and get.
type guest struct {
	*peer.Node
	transport transport.Router
	found     []discovery.Discovery
}

// join makes a guest, which must leave.
func (p *program) join(ctx context.Context) (*guest, error) {
	policy, err := p.policy(false)
	if err != nil {
		return nil, err
	}
	log := p.log(slog.LevelError)
	key := kith.NewKey()
	g := &guest{transport: transport.Router{
		quic.Scheme: quic.New(quic.Config{Key: key}),
		tcp.Scheme:  tcp.New(tcp.Config{Key: key}),
	}}
	if g.found, err = p.discovery(log); err == nil {
		g.Node, err = peer.New(peer.Config{
			Key: key, Admit: policy, Network: network, Transport: g.transport, Discovery: g.found,
			Mesh: maxNodes, Ping: ping, Silence: silence, Logger: log,
		})
	}
	if err == nil {
		err = g.Join(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(g.found), g.transport.Close())
	}
	return g, nil
}

// leave ends a guest.
func (g *guest) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	_ = g.Leave(ctx) // what was not said in time, others find out
	_ = closeAll(g.found)
	_ = g.transport.Close()
}

// upLoop sends a value whenever a peer has come Up, and ends with ctx.
func (g *guest) upLoop(ctx context.Context, ups chan<- struct{}) {
	for ev := range g.Watch(ctx) {
		if ev.Kind == peer.Up {
			select {
			case ups <- struct{}{}:
			default:
			}
		}
	}
}

// policy says who is in the network. A key that is missing is made only by who
// offers something.
func (p *program) policy(create bool) (admit.Policy, error) {
	if p.opts.open {
		return admit.Anyone(), nil
	}
	file := p.opts.networkKey
	secret, err := admit.LoadNetworkKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, usagef("no network key %s: copy it from a node that has one, or share with everybody: -open", file)
		}
		if err = admit.NewNetworkKey().Save(file); err == nil {
			p.say("made %s: copy it to the other machines, by a safe way; who has it is in", file)
		}
		if err == nil || errors.Is(err, fs.ErrExist) { // another node was faster
			secret, err = admit.LoadNetworkKey(file)
		}
	}
	if err != nil {
		return nil, err
	}
	return admit.NetworkKey(secret), nil
}

// discovery returns a list if there is a file for one, nil for the default, which is mDNS.
func (p *program) discovery(log *slog.Logger) ([]discovery.Discovery, error) {
	if p.opts.peers == "" {
		return nil, nil
	}
	if _, err := os.Stat(p.opts.peers); err != nil {
		return nil, usagef("-peers: %v", err)
	}
	d, err := static.New(static.Config{File: p.opts.peers, Logger: log})
	if err != nil {
		return nil, err
	}
	return []discovery.Discovery{d}, nil
}

func closeAll(ds []discovery.Discovery) error {
	var err error
	for _, d := range ds {
		err = errors.Join(err, d.Close())
	}
	return err
}

// log returns a logger to standard error.
func (p *program) log(level slog.Level) *slog.Logger {
	if p.opts.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(lineWriter{p}, &slog.HandlerOptions{Level: level}))
}

// A lineWriter writes lines that do not mix with others.
type lineWriter struct{ p *program }

// Write implements io.Writer.
func (w lineWriter) Write(line []byte) (int, error) {
	w.p.say("%s", strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

// outside fails if a file is in the folder that is offered, where others could
// fetch it.
func outside(dir, path string) error {
	root, err := os.Stat(dir)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(real, filepath.Base(abs))
	}
	for at := filepath.Dir(abs); ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && os.SameFile(info, root) {
			return usagef("serve: %s would be offered with the rest of %s: keep it elsewhere", path, dir)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}
