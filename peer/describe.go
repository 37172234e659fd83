package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kith-go/kith"
)

// A description is what a node tells a peer of itself, once both are admitted.
type description struct {
	Name    string   `json:"name,omitempty"`
	Methods []string `json:"methods,omitempty"`
}

// The limits of a description. What goes beyond them is cut by who receives it.
const (
	maxName    = 64
	maxMethods = 1024
	// ownPrefix is of methods that are the node's own.
	ownPrefix = "kith."
)

var describe = kith.Unary[struct{}, description](ownPrefix+"peer/Describe", kith.Idempotent(), kith.MaxMessage(256<<10))

// describeTime is how long a peer has to describe itself. Then it is Up without.
const describeTime = 2 * time.Second

// ownHandlers returns what peers can call: the user's handlers, and the node's.
func (n *Node) ownHandlers(user *kith.Handlers) (*kith.Handlers, []string, error) {
	var own kith.Handlers
	var names []string
	for _, m := range user.Methods() {
		if strings.HasPrefix(m.Name(), ownPrefix) {
			return nil, nil, fmt.Errorf("method %s: names that begin with %q are the node's own", m.Name(), ownPrefix)
		}
		_, run, _ := user.Lookup([]byte(m.Name()))
		own.Register(m, run)
		names = append(names, m.Name())
	}
	if len(names) > maxMethods {
		return nil, nil, fmt.Errorf("%d methods, at most %d", len(names), maxMethods)
	}
	describe.Handle(&own, func(context.Context, struct{}) (description, error) {
		return description{Name: n.cfg.Name, Methods: names}, nil
	})
	return &own, names, nil
}

// describeLoop asks a peer that has just been connected what it is, and makes
// it Up. It is bounded by describeTime, and ends with the node.
func (n *Node) describeLoop(p *pair, k *link) {
	defer n.loops.Done()
	ctx, cancel := context.WithTimeout(n.ctx, describeTime)
	defer cancel()
	d, err := describe.Call(ctx, k.s, struct{}{})
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.described == k.instance || err != nil && (p.winner != k || n.ctx.Err() != nil) {
		return
	}
	p.described = k.instance
	if err == nil {
		p.name, p.methods = cleanName(d.Name), cleanMethods(d.Methods)
	} else {
		p.name, p.methods = "", nil
		n.logLocked(slog.LevelWarn, "peer does not describe itself", slog.String("peer", p.id.Short()), slog.String("err", cutText(err.Error())))
	}
	n.settleLocked(p)
	if p.up {
		n.logLocked(slog.LevelInfo, "peer up", slog.String("peer", p.id.Short()), slog.String("name", p.name))
	}
}

// cleanName makes a peer's name safe to show.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > maxName {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// checkName refuses what cleanName would change.
func checkName(s string) error {
	if cleanName(s) != s {
		return fmt.Errorf("name %q: at most %d bytes of printable UTF-8", cutText(s), maxName)
	}
	return nil
}

func cleanMethods(names []string) []string {
	names = names[:min(len(names), maxMethods)]
	names = slices.DeleteFunc(slices.Clone(names), func(s string) bool {
		return s == "" || len(s) > 128 || strings.HasPrefix(s, ownPrefix) ||
			strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
	})
	slices.Sort(names)
	return slices.Compact(names)
}

func (c Config) withDefaults() Config {
	setDefault(&c.Mesh, 64)
	setDefault(&c.MaxPeers, 4096)
	setDefault(&c.MaxCalls, 65_536)
	setDefault(&c.DialTimeout, 10*time.Second)
	setDefault(&c.BackoffBase, 200*time.Millisecond)
	setDefault(&c.BackoffMax, 30*time.Second)
	setDefault(&c.IdleTimeout, 5*time.Minute)
	setDefault(&c.Ping, 5*time.Second)
	setDefault(&c.Silence, 15*time.Second)
	if c.Logger == nil {
		c.Logger = discard
	}
	if c.Transport == nil && len(c.Listen) == 0 {
		c.Listen = []string{"quic://:0", "tcp://:0"}
	}
	c.Listen = slices.Clone(c.Listen)
	c.Codecs = slices.Clone(c.Codecs)
	if c.Discovery != nil {
		c.Discovery = slices.Clone(c.Discovery)
	}
	return c
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// check returns the key, and what is missing or wrong.
func (c *Config) check() (*kith.Key, error) {
	switch {
	case c.Admit == nil:
		return nil, errNoPolicy
	case c.BackoffBase < 0 || c.BackoffMax < 0:
		return nil, errors.New("negative backoff: a peer that is down would be dialled without a pause")
	case c.Key != nil && c.KeyFile != "":
		return nil, errors.New("both Key and KeyFile")
	case c.Transport != nil && c.Key == nil && c.KeyFile == "":
		return nil, errors.New("a Transport without a Key: set Key to the one that the transport has")
	}
	if err := checkName(c.Name); err != nil {
		return nil, err
	}
	switch {
	case c.Key != nil:
		return c.Key, nil
	case c.KeyFile != "":
		return kith.LoadKey(c.KeyFile)
	}
	return kith.NewKey(), nil
}

// errNoPolicy names the remedies.
var errNoPolicy = errors.New("no Admit policy: set Admit to admit.NetworkKey(ring...), admit.Pins(ids...) or admit.Anyone()")
