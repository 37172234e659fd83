package mdns

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// portShared says whether another process on this host has the port of mDNS on the wildcard address: an mDNS
// daemon, another node. What cannot be found out is taken for no.
func portShared() bool {
	var inodes []string
	for _, name := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		inodes = append(inodes, wildcardInodes(f)...)
		_ = f.Close() // it was only read
	}
	if len(inodes) == 0 {
		return false
	}
	ours := make(map[string]bool)
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			ours[to] = true
		}
	}
	for _, inode := range inodes {
		if !ours["socket:["+inode+"]"] {
			return true
		}
	}
	return false
}

// wildcardInodes reads a table of the kernel's UDP sockets.
func wildcardInodes(r io.Reader) (inodes []string) {
	const localAddr, inode = 1, 9
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) <= inode {
			continue
		}
		addr, ok := strings.CutSuffix(fields[localAddr], ":14E9") // 5353
		if ok && strings.Trim(addr, "0") == "" {
			inodes = append(inodes, fields[inode])
		}
	}
	return inodes
}
