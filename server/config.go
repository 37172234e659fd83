package server

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport/admit"
)

// A Config configures [New]. Only Handlers must be set, and Admit unless a CA
// decides.
type Config struct {
	// Handlers are what clients may call. They are in use from New on.
	Handlers *kith.Handlers

	// Admit decides who is let in, and presents this server to its clients. If
	// nil, clients need a certificate that a CA of the transport verified
	// ([admit.Verified]), and Serve fails over listeners that verify none.
	Admit admit.Policy

	// Codecs are what messages may be encoded with, beside JSON and raw bytes.
	Codecs []kith.Codec

	// MaxMessage is the limit of a message in bytes, in both directions, for
	// methods that set none of their own. If zero, 4 MiB. If negative, no limit.
	MaxMessage int

	// MaxLaneCalls is how many small calls one client may have open at once;
	// its further ones wait on its side. If zero, 8,192, which is also the most;
	// negative means the same.
	MaxLaneCalls int

	// MaxCalls is how many calls of all clients may be in flight; further ones
	// are refused as Unprocessed. The last eighth of them is for connections that have
	// less than that in flight. One that has three eighths of them, or as many as all
	// others had at their peak in the last second or two, leaves them those too. If
	// zero, 65,536. If negative, no limit.
	MaxCalls int

	// MaxConns is how many connections may be open, those in their hello
	// included; further ones are refused. If zero, 65,536. If negative, no limit.
	MaxConns int

	// MaxPending is how many connections of one source may be in their hello; a
	// source is an IPv4 address, an IPv6 /64 or a host name. A further one takes
	// the place of the oldest if that has had 500 ms, and else is closed. If
	// zero, 64. If negative, no limit. In any case 1,024 of all sources together
	// may be.
	MaxPending int

	// HelloTimeout is how long a connection may take from being accepted to
	// being admitted. If zero, 5 s. If negative, as long as Silence allows.
	HelloTimeout time.Duration

	// Ping is the interval at which a silent client is pinged while it has calls
	// open, IdlePing while it has none. If zero, 5 s and 30 s. If negative, never.
	Ping, IdlePing time.Duration

	// Silence is how long nothing may be heard from a client that has calls open
	// before its connection is dead, IdleSilence from one that has none. If
	// zero, 15 s and 45 s. If negative, for ever.
	Silence, IdleSilence time.Duration

	// PingFloor is the shortest interval at which clients may ping; one that
	// pings more often is disconnected. If zero, 1 s. If negative, no limit.
	PingFloor time.Duration

	// Logger gets refused and failed connections, at most ten lines a second,
	// and what handlers did wrong. If nil, nothing is logged.
	Logger *slog.Logger
}

const (
	defaultMaxCalls   = 65_536
	defaultMaxConns   = 65_536
	defaultMaxPending = 64

	defaultHelloTimeout = 5 * time.Second
)

// never stands for the durations that a Config sets to no limit where there
// has to be one.
const never = time.Duration(1 << 61)

// withDefaults returns a copy with its zero values filled in.
func (c Config) withDefaults() Config {
	setDefault(&c.MaxCalls, defaultMaxCalls)
	setDefault(&c.MaxConns, defaultMaxConns)
	setDefault(&c.MaxPending, defaultMaxPending)
	switch {
	case c.HelloTimeout == 0:
		c.HelloTimeout = defaultHelloTimeout
	case c.HelloTimeout < 0:
		c.HelloTimeout = never
	}
	if c.PingFloor < 0 {
		c.PingFloor = time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Codecs = slices.Clone(c.Codecs)
	return c
}

func setDefault(v *int, d int) {
	if *v == 0 {
		*v = d
	}
}

// check returns what is missing or wrong.
func (c *Config) check() error {
	if c.Handlers == nil {
		return errors.New("no Handlers")
	}
	seen := map[string]bool{kith.JSON.Name(): true, kith.Raw.Name(): true}
	for i, k := range c.Codecs {
		if k == nil {
			return fmt.Errorf("codec %d is nil", i)
		}
		name := k.Name()
		if !validCodecName(name) {
			return fmt.Errorf("codec name %q: want 1 to 32 printable ASCII characters without space", name)
		}
		if seen[name] {
			return fmt.Errorf("two codecs of the name %q", name)
		}
		seen[name] = true
	}
	return nil
}

func validCodecName(s string) bool {
	for _, b := range []byte(s) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 32
}

// session returns how the sessions of a server behave whose policy is p.
func (c *Config) session(w *session.Workers, p admit.Policy) session.Config {
	return session.Config{
		Handlers: c.Handlers, Codecs: c.Codecs, Admit: p, Workers: w,
		MaxMessage: c.MaxMessage, MaxLaneCalls: c.MaxLaneCalls, HelloTimeout: c.HelloTimeout,
		Ping: c.Ping, IdlePing: c.IdlePing, Silence: c.Silence, IdleSilence: c.IdleSilence,
		PingFloor: c.PingFloor, Logger: c.Logger,
	}.Defaults()
}
