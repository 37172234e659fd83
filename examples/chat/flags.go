package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/kith-go/kith/transport/admit"
)

const help = `usage: chat -name NAME [FLAGS]

What is typed goes to all who are here; /who lists them. Ctrl-D or Ctrl-C leaves.

  -name NAME               what others see; at most 64 bytes
  -key-file FILE           who you are: your private key, made if missing (default chat-NAME.key).
                           Two who chat at a time need a file each
  -network-key-file FILE   whom you trust: the key that all in this chat share, made if missing
                           (default lan.key). On another machine: copy the file there. It is one line
                           of text; let nobody else see it
  -open                    no network key: let in whoever is on the LAN and does the same
  -listen ADDR[,ADDR]      where to listen, such as quic://:4433 (default: any port, QUIC and TCP)
  -peers FILE              where others are, for when multicast does not reach them: a line for each,
                           quic://ID@host:port, as chat prints it with this flag
  -mdns=false              do not look on the LAN; only -peers counts
  -wait DURATION           how long what is typed first waits for somebody to be here (default 2s)
  -silence DURATION        how long somebody may be silent before he is lost (default 4s, at least 1s)
  -v                       say more of what goes on

Exit codes: 0 left, 1 failed, 2 wrong usage.
`

// A usageError says what is wrong with the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// options are the flags.
type options struct {
	name, keyFile, networkKeyFile, peers string
	listen                               []string
	open, mdns, verbose                  bool
	wait, silence                        time.Duration
}

// parse reads the flags. For -h it prints the help and returns flag.ErrHelp.
func parse(args []string, stdout io.Writer) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("chat", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.name, "name", "", "")
	f.StringVar(&o.keyFile, "key-file", "", "")
	f.StringVar(&o.networkKeyFile, "network-key-file", "lan.key", "")
	f.BoolVar(&o.open, "open", false, "")
	listen := f.String("listen", "", "")
	f.StringVar(&o.peers, "peers", "", "")
	f.BoolVar(&o.mdns, "mdns", true, "")
	f.DurationVar(&o.wait, "wait", 2*time.Second, "")
	f.DurationVar(&o.silence, "silence", 4*time.Second, "")
	f.BoolVar(&o.verbose, "v", false, "")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, werr := io.WriteString(stdout, help)
		return nil, errors.Join(err, werr)
	case err != nil:
		return nil, usageError(err.Error())
	case f.NArg() > 0:
		return nil, usageError(fmt.Sprintf("unexpected %q", f.Arg(0)))
	case o.name == "":
		return nil, usageError("-name is missing")
	case clean(o.name, maxName) != o.name:
		return nil, usageError(fmt.Sprintf("-name %q: at most %d bytes that can be printed", o.name, maxName))
	case !o.mdns && o.peers == "":
		return nil, usageError("-mdns=false without -peers: nobody would be found")
	case o.silence < time.Second:
		return nil, usageError("-silence: at least 1s")
	}
	if o.keyFile == "" {
		o.keyFile = "chat-" + url.QueryEscape(o.name) + ".key"
	}
	if *listen != "" {
		o.listen = strings.Split(*listen, ",")
	}
	return o, nil
}

// networkKey reads the key of the network, or makes it. Of several processes that
// do so at once, all get the same.
func networkKey(path string) (key admit.Secret, made bool, err error) {
	key, err = admit.LoadNetworkKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key = admit.NewNetworkKey()
	if err := key.Save(path); !errors.Is(err, fs.ErrExist) {
		return key, true, err
	}
	key, err = admit.LoadNetworkKey(path)
	return key, false, err
}

// onLAN chooses the network interfaces: loopback, which reaches chats on this machine only,
// where there is no other.
func onLAN(i net.Interface) bool {
	if i.Flags&net.FlagLoopback == 0 {
		return true
	}
	all, err := net.Interfaces()
	if err != nil {
		return true
	}
	for _, other := range all {
		addrs, err := other.Addrs()
		if err == nil && len(addrs) > 0 && other.Flags&net.FlagLoopback == 0 &&
			other.Flags&net.FlagUp != 0 && other.Flags&net.FlagMulticast != 0 {
			return false
		}
	}
	return true
}
