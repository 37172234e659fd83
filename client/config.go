package client

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// A Config configures [New] and [Dial]. Only Transport and Addrs must be set.
type Config struct {
	// Transport makes the connections; a [transport.Router] serves addresses of
	// several schemes. The client does not close it.
	Transport transport.Transport

	// Addrs are the addresses of the server, or of servers that are all the
	// same to the caller, in the form that [transport.ParseAddr] reads. The ID in
	// one says who must answer there.
	Addrs []string

	// Handlers are what the server may call, nil for nothing. They are in use
	// from New on. A client that has some stays connected, once it is.
	Handlers *kith.Handlers

	// MaxCalls is how many calls of the server's may be in flight; further ones
	// are refused as Unprocessed. If zero, 65,536. If negative, no limit.
	MaxCalls int

	// Admit judges the server, beyond the ID in its address or the CA of the
	// transport, and presents this client to it. Nil is right where there is
	// nothing to present; then idempotent calls need not wait for the server's
	// first words.
	Admit admit.Policy

	// Codecs are what the server's calls may be encoded with, beside JSON and
	// raw bytes. What this side's calls use is up to each call.
	Codecs []kith.Codec

	// MaxMessage is the limit of a message in bytes, in both directions, for
	// methods that set none of their own. If zero, 4 MiB. If negative, no limit.
	MaxMessage int

	// Middleware wraps all calls that the client makes, the first outermost.
	Middleware []kith.Middleware

	// DialTimeout bounds one attempt to connect to one address, the server's
	// first words included. If zero, 10 s. If negative, there is no bound.
	DialTimeout time.Duration

	// BackoffBase is the longest pause after the first failure of all
	// addresses. It doubles with each further one, up to BackoffMax; the pauses
	// are drawn evenly between zero and that. If zero, 200 ms and 30 s. They
	// cannot be negative.
	BackoffBase, BackoffMax time.Duration

	// IdleTimeout closes a connection over which this side has made no call for
	// this long, and none is open in either direction; the next call connects
	// again. It may take a quarter longer. If zero, 5 minutes without Handlers,
	// never with them. If negative, never.
	IdleTimeout time.Duration

	// Ping is the interval at which a silent server is pinged while calls are
	// open, IdlePing while none are. If zero, 5 s and 30 s. If negative, never.
	Ping, IdlePing time.Duration

	// Silence is how long nothing may be heard from the server while calls are
	// open before the connection is dead, IdleSilence while none are. If zero,
	// 15 s and 45 s. If negative, for ever.
	Silence, IdleSilence time.Duration

	// Logger gets what becomes of connections, and what handlers did wrong. If
	// nil, nothing is logged.
	Logger *slog.Logger
}

const (
	defaultMaxCalls    = 65_536
	defaultDialTimeout = 10 * time.Second
	defaultBackoffBase = 200 * time.Millisecond
	defaultBackoffMax  = 30 * time.Second
	defaultIdleTimeout = 5 * time.Minute
)

// withDefaults returns a copy with its zero values filled in.
func (c Config) withDefaults() Config {
	if c.MaxCalls == 0 {
		c.MaxCalls = defaultMaxCalls
	}
	setDefault(&c.DialTimeout, defaultDialTimeout)
	setDefault(&c.BackoffBase, defaultBackoffBase)
	setDefault(&c.BackoffMax, defaultBackoffMax)
	if c.IdleTimeout == 0 && c.Handlers != nil {
		c.IdleTimeout = -1
	}
	setDefault(&c.IdleTimeout, defaultIdleTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Addrs = slices.Clone(c.Addrs)
	c.Codecs = slices.Clone(c.Codecs)
	c.Middleware = slices.Clone(c.Middleware)
	return c
}

func setDefault(v *time.Duration, d time.Duration) {
	if *v == 0 {
		*v = d
	}
}

// check returns what is missing or wrong, and the addresses.
func (c *Config) check() ([]transport.Addr, error) {
	if c.Transport == nil {
		return nil, errors.New("no Transport")
	}
	if len(c.Addrs) == 0 {
		return nil, errors.New("no Addrs")
	}
	if c.BackoffBase < 0 || c.BackoffMax < 0 {
		return nil, errors.New("negative backoff: a server that is down would be dialled without a pause")
	}
	addrs := make([]transport.Addr, len(c.Addrs))
	for i, text := range c.Addrs {
		a, err := transport.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		addrs[i] = a
	}
	if slices.ContainsFunc(c.Middleware, func(m kith.Middleware) bool { return m == nil }) {
		return nil, errors.New("nil Middleware")
	}
	return addrs, c.checkCodecs()
}

func (c *Config) checkCodecs() error {
	seen := map[string]bool{kith.JSON.Name(): true, kith.Raw.Name(): true}
	for i, k := range c.Codecs {
		if k == nil {
			return fmt.Errorf("codec %d is nil", i)
		}
		if name := k.Name(); seen[name] {
			return fmt.Errorf("two codecs of the name %q", name)
		}
		seen[k.Name()] = true
	}
	return nil
}

// session returns how the client's sessions behave.
func (c *Config) session(w *session.Workers) session.Config {
	return session.Config{
		Handlers: c.Handlers, Codecs: c.Codecs, Admit: c.Admit, Workers: w,
		MaxMessage: c.MaxMessage, HelloTimeout: max(c.DialTimeout, 0),
		Ping: c.Ping, IdlePing: c.IdlePing, Silence: c.Silence, IdleSilence: c.IdleSilence,
		Logger: c.Logger,
	}.Defaults()
}
