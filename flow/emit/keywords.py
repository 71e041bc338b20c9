"""Words that cannot name a module: keywords of Verilog-2005 and SystemVerilog, and of VHDL."""

RESERVED = frozenset(
    """
    always and assign automatic begin bit break buf bufif0 bufif1 byte case casex casez cell class cmos config
    continue deassign default defparam design disable do edge else end endcase endconfig endfunction endgenerate
    endmodule endprimitive endspecify endtable endtask enum event export extends final for force forever fork
    function generate genvar global highz0 highz1 if ifnone import incdir include initial inout input instance int
    integer interface join large let liblist library localparam logic longint macromodule medium module nand
    negedge new nmos nor noshowcancelled not notif0 notif1 null or output package parameter pmos posedge primitive
    priority program property pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real
    realtime reg release repeat return rnmos rpmos rtran rtranif0 rtranif1 scalared sequence shortint
    showcancelled signed small specify specparam string strong0 strong1 struct supply0 supply1 table task this
    time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unsigned use uwire var
    vectored virtual void wait wand weak0 weak1 while wire with within wor xnor xor
    """.split()
)

# HLS tools write VHDL beside Verilog. Small letters; VHDL does not tell cases apart.
VHDL = frozenset(
    """
    abs access after alias all and architecture array assert attribute begin block body buffer bus case component
    configuration constant context cover default disconnect downto else elsif end entity exit fairness file for force
    function generate generic group guarded if impure in inertial inout is label library linkage literal loop map mod
    nand new next nor not null of on open or others out package parameter port postponed procedure process property
    protected pure range record register reject release rem report restrict return rol ror select sequence severity
    shared signal sla sll sra srl strong subtype then to transport type unaffected units until use variable vmode
    vprop vunit wait when while with xnor xor
    """.split()
)
