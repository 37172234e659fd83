package peer

import (
	"log/slog"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// A Config configures [New]. Only Admit must be set.
type Config struct {
	// Name is what other nodes call this one, told only to those that are admitted: at
	// most 64 bytes of printable UTF-8. It proves nothing; two nodes may have the same.
	Name string

	// Key is the node's identity. If nil, it is read from KeyFile, which is
	// made if missing; if that is empty too, the node has a fresh identity for as
	// long as it lives, which the log says.
	Key     *kith.Key
	KeyFile string

	// Handlers are what peers may call, nil for nothing. They are in use from New on.
	Handlers *kith.Handlers

	// Admit judges every peer, and presents this node to it.
	Admit admit.Policy

	// Network names the network: nodes find only those of the same name. With
	// [admit.NetworkKey] the keys tell networks apart as well, and keep the name secret.
	Network string

	// Transport makes and takes connections; a [transport.Router] serves several
	// schemes. Its identity must be Key's. The node does not close it. If nil, the
	// node makes one of QUIC and TCP, and closes it.
	Transport transport.Transport

	// Listen are the addresses to listen at, in the form that [transport.ParseAddr]
	// reads. If empty, "quic://:0" and "tcp://:0" where Transport is nil; with a
	// Transport of one's own, empty means that the node only dials.
	Listen []string

	// Advertise returns the addresses to tell others, without IDs, best first. It is
	// called at Join and every two seconds. If nil, they are those listened at, with
	// the addresses of this host's interfaces where they name none.
	Advertise func() []string

	// Discovery finds peers. The node does not close them. If nil, the node makes
	// one of mDNS, and closes it; if empty and not nil, there is none.
	Discovery []discovery.Discovery

	// RememberFile is where peers that were Up are kept over restarts, with their
	// addresses, so that a node finds its neighbours where discovery does not. If
	// empty, they are remembered while the node lives.
	RememberFile string

	// Mesh is how many peers the node stays connected to by itself. If zero, 64. If
	// negative, all.
	Mesh int

	// MaxPeers is how many peers are known at a time. If zero, 4,096. If
	// negative, no limit.
	MaxPeers int

	// MaxCalls is how many calls of peers may be in flight; further ones are
	// refused as Unprocessed. The last eighth of them is for peers that have less than
	// that in flight. One that has three eighths of them, or as many as all others had
	// at their peak in the last second or two, leaves them those too. If zero, 65,536.
	// If negative, no limit.
	MaxCalls int

	// MaxMessage is the limit of a message in bytes, in both directions, for methods
	// that set none of their own. If zero, 4 MiB. If negative, no limit.
	MaxMessage int

	// Codecs are what peers' calls may be encoded with, beside JSON and raw bytes.
	Codecs []kith.Codec

	// DialTimeout bounds one attempt to connect to one address, the peer's first
	// words included. If zero, 10 s. If negative, there is no bound.
	DialTimeout time.Duration

	// BackoffBase is the longest pause after the first failure of all of a peer's addresses.
	// It doubles with each further one, up to BackoffMax; the pauses are drawn evenly
	// between zero and that. If zero, 200 ms and 30 s. They cannot be negative.
	BackoffBase, BackoffMax time.Duration

	// IdleTimeout closes a connection beyond the mesh over which neither side has made
	// a call for this long. If zero, 5 minutes. If negative, never.
	IdleTimeout time.Duration

	// Ping is the interval at which a silent peer is pinged, Silence how long it may say
	// nothing before its connection is dead. If zero, 5 s and 15 s. If negative, never.
	Ping, Silence time.Duration

	// Logger gets what becomes of peers, and what handlers did wrong. If nil,
	// nothing is logged.
	Logger *slog.Logger
}
