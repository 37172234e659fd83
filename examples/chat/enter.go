package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/mdns"
	"github.com/kith-go/kith/discovery/static"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport/admit"
)

// enter joins the network.
func enter(ctx context.Context, o *options, s *screen, stderr io.Writer) (*room, error) {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	r := &room{
		me: Who{Name: o.name, Run: time.Now().UnixNano()}, screen: s,
		members: make(map[kith.ID]*member), changed: make(chan struct{}),
	}
	policy, trust, err := o.policy()
	if err != nil {
		return nil, err
	}
	if r.discs, err = o.discoveries(log); err != nil {
		return nil, err
	}
	var h kith.Handlers
	say.Handle(&h, r.onSay)
	r.node, err = peer.New(peer.Config{
		Name: o.name, KeyFile: o.keyFile, Handlers: &h, Admit: policy, Network: "chat",
		Listen: o.listen, Discovery: r.discs,
		Mesh:     -1,  // everybody hears everybody
		MaxCalls: 256, // each waits for the screen: no more lines than that
		Ping:     o.silence / 4, Silence: o.silence,
		Logger: log,
	})
	if err == nil {
		err = r.node.Join(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	s.note("you are %s; %s", o.name, trust)
	if o.peers != "" {
		s.note("for -peers of others: %s", strings.Join(r.node.Addrs(), " "))
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.watching.Add(1)
	go r.watchLoop()
	return r, nil
}

// leave brings what was typed to the others, says goodbye and ends the room. What takes longer
// than the limit is given up.
func (r *room) leave(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r.mu.Lock()
	r.leaving = true
	for _, m := range r.members {
		m.closeLocked()
	}
	r.mu.Unlock()
	stop := context.AfterFunc(ctx, r.cancel) // of senders that take too long
	r.senders.Wait()
	stop()
	r.cancel()
	err := r.node.Leave(ctx)
	r.watching.Wait()
	return errors.Join(err, r.close())
}

// close closes what is not the node's, and the node if it was not joined.
func (r *room) close() error {
	var errs []error
	if r.node != nil {
		errs = append(errs, r.node.Close())
	}
	for _, d := range r.discs {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// policy returns whom to let in, and says so.
func (o *options) policy() (admit.Policy, string, error) {
	if o.open {
		return admit.Anyone(), "anybody may join who chats with -open", nil
	}
	key, made, err := networkKey(o.networkKeyFile)
	if err != nil {
		return nil, "", err
	}
	text := fmt.Sprintf("others need the key in %s, fingerprint %s", o.networkKeyFile, fingerprint(key))
	if made {
		text += "; it was made just now: for other machines, copy the file"
	}
	return admit.NetworkKey(key), text, nil
}

func fingerprint(key admit.Secret) string {
	return strings.TrimSuffix(strings.TrimPrefix(key.String(), "secret("), ")")
}

// discoveries returns how to find others.
func (o *options) discoveries(log *slog.Logger) (discs []discovery.Discovery, err error) {
	if o.peers != "" {
		d, err := static.New(static.Config{File: o.peers, Interval: time.Second, Logger: log})
		if err != nil {
			return nil, err
		}
		discs = append(discs, d)
	}
	if o.mdns {
		d, err := mdns.New(mdns.Config{Interfaces: onLAN, Logger: log})
		if err != nil {
			return nil, err
		}
		discs = append(discs, d)
	}
	return discs, nil
}
