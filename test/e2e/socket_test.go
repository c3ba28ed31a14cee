// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// unread counts the connections whose server side does not exist yet or still
// holds bytes that the server has not read (proc_pid_net_tcp(5)).
func (s *server) unread(conns []net.Conn) (int, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	empty := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st tx_queue:rx_queue …
		if f := strings.Fields(line); len(f) > 4 {
			_, rx, _ := strings.Cut(f[4], ":")
			queued, err := strconv.ParseUint(rx, 16, 64)
			empty[f[1]+" "+f[2]] = err == nil && queued == 0
		}
	}
	unread := 0
	for _, conn := range conns {
		if !empty[kernelName(conn.RemoteAddr())+" "+kernelName(conn.LocalAddr())] {
			unread++
		}
	}
	return unread, nil
}

// kernelName is an IPv4 address as /proc/net/tcp prints it.
func kernelName(a net.Addr) string {
	tcp := a.(*net.TCPAddr)
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(tcp.IP.To4()), tcp.Port)
}
