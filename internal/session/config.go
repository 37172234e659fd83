package session

import (
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport/admit"
)

// Config says how a session behaves. One value serves many sessions and must
// not change after the first.
type Config struct {
	// Handlers are what the other side may call, nil for nothing.
	Handlers *kith.Handlers
	// Codecs are those beside raw and JSON.
	Codecs []kith.Codec
	// Admit judges the other side, and presents this one to it. Nil on the
	// dialling side: whoever the transport let answer is accepted.
	Admit admit.Policy
	// Pairer judges peers on the accepting side, after Admit. Nil where there are
	// none.
	Pairer Pairer
	// Workers run the handlers. It is nil only where Handlers is.
	Workers *Workers
	// Instance tells this process from another with the same key.
	Instance [8]byte
	// MaxMessage is the limit of messages both ways in bytes. If zero, 4 MiB;
	// if negative, none.
	MaxMessage int
	// MaxLaneCalls is how many lane calls the other side may have open here. If
	// zero or above 8,192, 8,192.
	MaxLaneCalls int
	// HelloTimeout bounds hello. If zero, 5 s.
	HelloTimeout time.Duration
	// Ping is the interval of pings while calls are open, IdlePing while none
	// are. If zero, 5 s and 30 s; if negative, never.
	Ping, IdlePing time.Duration
	// Silence is how long the other side may say nothing while calls are open
	// before the connection is dead, IdleSilence while none are. If zero, 15 s
	// and 45 s; if negative, for ever.
	Silence, IdleSilence time.Duration
	// PingFloor is the shortest interval at which the other side may ping. If
	// zero, 1 s.
	PingFloor time.Duration
	// Logger gets what handlers did wrong: of all sessions that share Workers
	// at most 100 lines a second, ten of them with a stack, and how many were left
	// out. If nil, nothing is logged.
	Logger *slog.Logger
}

// DefaultMaxMessage is the limit of messages where nothing else is set.
const DefaultMaxMessage = 4 << 20

// Defaults returns c with its zero values filled in.
func (c Config) Defaults() Config {
	setDefault(&c.MaxMessage, DefaultMaxMessage)
	if c.MaxLaneCalls <= 0 || c.MaxLaneCalls > wire.MaxLaneCalls {
		c.MaxLaneCalls = wire.MaxLaneCalls
	}
	setDefault(&c.HelloTimeout, 5*time.Second)
	setDefault(&c.Ping, 5*time.Second)
	setDefault(&c.IdlePing, 30*time.Second)
	setDefault(&c.Silence, 15*time.Second)
	setDefault(&c.IdleSilence, 45*time.Second)
	setDefault(&c.PingFloor, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Instance == [8]byte{} {
		_, _ = rand.Read(c.Instance[:]) // never fails
	}
	return c
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// codec finds a codec by its name on the wire.
func (c *Config) codec(name []byte) kith.Codec {
	switch string(name) {
	case "raw":
		return kith.Raw
	case "json":
		return kith.JSON
	}
	for _, k := range c.Codecs {
		if k.Name() == string(name) {
			return k
		}
	}
	return nil
}

// hello returns what this side says of itself.
func (c *Config) hello() wire.Hello {
	return wire.Hello{
		Version: wire.Version, Instance: c.Instance, LaneCalls: c.MaxLaneCalls,
		MaxMessage: max(c.MaxMessage, -1), PingFloor: c.PingFloor,
	}
}
