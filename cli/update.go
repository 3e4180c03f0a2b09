package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/xml"
)

// commands returns virsh net-update's words for commands.
func commands() []string {
	var list []string
	for c := xml.UpdateModify; c <= xml.UpdateAddFirst; c++ {
		list = append(list, c.String())
	}
	return list
}

// sections returns virsh net-update's words for sections.
func sections() []string {
	var list []string
	for s := xml.SectionBridge; s <= xml.SectionDNSSRV; s++ {
		list = append(list, s.String())
	}
	return list
}

func newRenderUpdate(io IO) *cobra.Command {
	var inactive bool
	parent := -1
	cmd := &cobra.Command{
		Use:   "update NET COMMAND SECTION UPDATE",
		Short: "Print a network as virsh net-update would leave it",
		Long: `Print the network of file NET as virsh net-update would leave it, or say why it
would be refused. UPDATE is the file with the element to add, modify or delete.

COMMAND is one of ` + strings.Join(commands(), ", ") + `.
SECTION is one of ` + strings.Join(sections(), ", ") + `.`,
		Example: "  virbr render update net.xml add-last ip-dhcp-host host.xml",
		Args:    exactly("NET", "COMMAND", "SECTION", "UPDATE"),
		RunE: func(_ *cobra.Command, args []string) error {
			command, ok := xml.ParseUpdateCommand(args[1])
			if !ok {
				return usageError{fmt.Errorf("there is no update command %q; known are %s", args[1], strings.Join(commands(), ", "))}
			}
			section, ok := xml.ParseUpdateSection(args[2])
			if !ok {
				return usageError{fmt.Errorf("there is no section %q; known are %s", args[2], strings.Join(sections(), ", "))}
			}
			return renderUpdate(io, args[0], args[3], command, section, parent, formatFlags(inactive))
		},
		ValidArgsFunction: completeUpdate,
	}
	cmd.Flags().BoolVar(&inactive, "inactive", false, "print the stored form, as virsh net-dumpxml --inactive")
	cmd.Flags().IntVar(&parent, "parent-index", -1, "which of several <ip> elements an ip-dhcp section is in, from 0; -1: the one that fits")
	return cmd
}

func renderUpdate(io IO, net, update string, command xml.UpdateCommand, section xml.UpdateSection, parent int, flags xml.FormatFlags) error {
	doc, err := readDocument(net, io.In)
	if err != nil {
		return err
	}
	def, err := doc.network()
	if err != nil {
		return err
	}
	change, err := readDocument(update, io.In)
	if err != nil {
		return err
	}
	if err := def.Update(command, section, parent, change.text); err != nil {
		return change.at(err)
	}
	// An edit that fits its section may still spoil the whole.
	if _, err := xml.ParseNetwork([]byte(def.Format(flags))); err != nil {
		return fmt.Errorf("%s: the updated network would be refused: %w", doc.name, err)
	}
	return write(io.Out, def.Format(flags))
}

// completeUpdate completes COMMAND and SECTION, and files elsewhere.
func completeUpdate(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 1:
		return commands(), cobra.ShellCompDirectiveNoFileComp
	case 2:
		return sections(), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func formatFlags(inactive bool) xml.FormatFlags {
	if inactive {
		return xml.Inactive
	}
	return 0
}
