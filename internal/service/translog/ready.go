// SPDX-License-Identifier: Apache-2.0

package translog

// Ready says whether entries can be added now, and if not, what to do. It asks
// the disk, not the tree, and may be called often.
func (l *Log) Ready() error { return l.space.Check() }
