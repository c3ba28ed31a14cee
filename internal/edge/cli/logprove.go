// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/logclient"
)

func logProve(a *app) *cobra.Command {
	var flags logFlags
	var bundleFile, from string
	cmd := &cobra.Command{
		Use:   "prove (INDEX | --bundle FILE) [--from STATE]",
		Short: "Prove that an entry is in the log now, and that the log has only grown",
		Long: `Prove that an entry is in the log as it is now. For a bundle also that the entry is
the very one that the bundle carries, and that nothing in the log was changed or taken
out since the bundle was made.

--from asks the same about any earlier state: SIZE:ROOTHASH as this command printed
it then, or a file with a checkpoint or bundle from that time. Keep what it prints: it
is how a log that shows different people different things is found out.`,
		Example: `  hallmark log prove --bundle app.tar.gz.sigstore.json
  hallmark log prove 42 --from 100:4f2a…`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usageError{fmt.Errorf("unexpected argument %q", args[1])}
			case (len(args) == 1) == (bundleFile != ""):
				return usageError{errors.New("which entry? Give either INDEX or --bundle FILE")}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&bundleFile, "bundle", "", "`FILE` with the bundle whose entry is meant")
	f.StringVar(&from, "from", "", "the earlier `STATE` of the log: SIZE:ROOTHASH, or a file with a checkpoint or bundle")
	flags.bind(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var index uint64
		var err error
		if len(args) == 1 {
			if index, err = parseIndex(args[0]); err != nil {
				return err
			}
		}
		old, err := readState(from)
		if err != nil {
			return err
		}
		q, err := flags.open(cmd.Context(), a)
		if err != nil {
			return err
		}
		defer q.done()
		var logged *verify.Inclusion
		if bundleFile != "" {
			data, err := readFile(bundleFile, bundle.MaxSize)
			if err != nil {
				return fmt.Errorf("--bundle: %w", err)
			}
			if logged, err = q.entryOf(data); err != nil {
				return fmt.Errorf("--bundle %s: %w", bundleFile, err)
			}
			index = uint64(logged.Entry().LogIndex)
		}
		p, err := q.prove(index, logged, old)
		if err != nil {
			return err
		}
		return q.printProof(p)
	}
	return cmd
}

// logState is an earlier state of the log, as the user remembers it.
type logState struct {
	size uint64
	root [32]byte

	file string // or what it is to be taken from
	data []byte
}

var stateForm = regexp.MustCompile(`^([0-9]+)(?::(.*))?$`)

// readState reads a --from. It is nil for "".
func readState(s string) (*logState, error) {
	if s == "" {
		return nil, nil
	}
	m := stateForm.FindStringSubmatch(s)
	if m == nil {
		data, err := readFile(s, bundle.MaxSize)
		if err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
		return &logState{file: s, data: data}, nil
	}
	if m[2] == "" {
		return nil, usageError{fmt.Errorf("--from %s: a size alone has nothing to compare with: expected SIZE:ROOTHASH, as this command prints it, or a file with a checkpoint or bundle", s)}
	}
	size, err := strconv.ParseUint(m[1], 10, 53)
	if err != nil || size == 0 {
		return nil, usageError{fmt.Errorf("--from %.80s: expected a size of at least 1", s)}
	}
	root, err := hex.DecodeString(m[2])
	if err != nil || len(root) != 32 {
		return nil, usageError{fmt.Errorf("--from %.160s: expected a root hash of 64 hexadecimal digits after the size", s)}
	}
	return &logState{size: size, root: [32]byte(root)}, nil
}

// entryOf proves a bundle's own log entry, as of when the bundle was made.
func (q *inquiry) entryOf(data []byte) (*verify.Inclusion, error) {
	b, err := parseBundle(data)
	if err != nil {
		return nil, err
	}
	err = errors.New("it has no log entry")
	for _, e := range b.Entries {
		var inc *verify.Inclusion
		if inc, err = verify.CheckInclusion(e, q.active.Root); err == nil {
			err = inc.Records(b)
		}
		if err == nil {
			return inc, nil
		}
	}
	return nil, err
}

// proof is an entry in the log as it is now, and the states it has grown from.
type proof struct {
	entry *logclient.Entry
	from  []treeState
}

// prove gets the entry from the log as it is now. logged, from a bundle, is
// what has to be there; old is a state that must have been kept. Either may be
// nil.
func (q *inquiry) prove(index uint64, logged *verify.Inclusion, old *logState) (*proof, error) {
	if logged != nil {
		q.client = q.of(logged.Tree().Log())
	}
	e, err := q.client.Entry(q.ctx, index)
	if err != nil {
		if logged != nil && errors.Is(err, logclient.ErrNotFound) {
			return nil, fmt.Errorf("the log signed that it holds entry %d, and now has none: %w", index, err)
		}
		return nil, err
	}
	p := &proof{entry: e}
	if logged != nil {
		if !bytes.Equal(logged.Entry().LogID, e.Entry().LogID) {
			return nil, fmt.Errorf("the bundle's entry is in log %s, the answer is of log %s", logged.Tree().Log().Origin(), e.Tree().Log().Origin())
		}
		if !bytes.Equal(logged.Entry().Body, e.Entry().Body) {
			return nil, fmt.Errorf("entry %d is not the one that the log gave the bundle: the log was rewritten", index)
		}
		if err := q.grown(p, logged.Tree().Size(), logged.Tree().Root()); err != nil {
			return nil, err
		}
	}
	if old != nil {
		if old.file != "" {
			if err := q.proveState(old, e.Tree().Log()); err != nil {
				return nil, fmt.Errorf("--from %s: %w", old.file, err)
			}
		}
		if err := q.grown(p, old.size, old.root); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (q *inquiry) grown(p *proof, size uint64, root [32]byte) error {
	if err := q.client.Extends(q.ctx, p.entry.Tree(), size, root); err != nil {
		return err
	}
	p.from = append(p.from, treeState{size, hex.EncodeToString(root[:])})
	return nil
}

// proveState takes the state from the checkpoint or bundle that old was read
// from.
func (q *inquiry) proveState(old *logState, log *trustroot.Log) error {
	var tree *verify.Tree
	if bytes.HasPrefix(bytes.TrimSpace(old.data), []byte("{")) {
		inc, err := q.entryOf(old.data)
		if err != nil {
			return err
		}
		tree = inc.Tree()
	} else {
		var err error
		if tree, err = verify.CheckTree(old.data, log); err != nil {
			return err
		}
	}
	if !bytes.Equal(tree.Log().ID, log.ID) {
		return fmt.Errorf("it is of log %s, the entry of log %s", tree.Log().Origin(), log.Origin())
	}
	old.size, old.root = tree.Size(), tree.Root()
	return nil
}

func (q *inquiry) printProof(p *proof) error {
	r, err := reportEntry(p.entry)
	if err != nil {
		return err
	}
	own := p.entry.Entry().Proof
	if q.out.format == "json" {
		path := []string{}
		for _, h := range own.Hashes {
			path = append(path, hex.EncodeToString(h))
		}
		from := p.from
		if from == nil {
			from = []treeState{}
		}
		return q.printJSON(struct {
			Schema     string      `json:"schema"`
			Trust      trustNote   `json:"trust"`
			Entry      *logEntry   `json:"entry"`
			Path       []string    `json:"path"`       // from the leaf to the root hash, hexadecimal
			Checkpoint string      `json:"checkpoint"` // a signed note
			GrownFrom  []treeState `json:"grownFrom"`  // earlier states that were proven to be kept
		}{logProofSchema, noteOf(q.active), r, path, own.Checkpoint, from})
	}
	c := q.colours()
	r.text(q.app, c)
	q.row(c, "leaf", r.LeafHash)
	for _, from := range p.from {
		q.row(c, "grown", fmt.Sprintf("from %s with root hash %s: nothing was changed or taken out since", entries(from.Size), from.RootHash))
	}
	q.row(c, "remember", fmt.Sprintf("--from %d:%s", r.Tree.Size, r.Tree.RootHash))
	q.row(c, "trust", describeTrust(q.active, q.Now()))
	return nil
}
